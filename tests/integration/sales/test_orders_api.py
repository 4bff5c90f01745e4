"""Orders over HTTP: place, look, cancel, move."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import chains, placing, saga
from sales.errors import UnknownCustomer
from tests.integration.sales.conftest import Shop, about


class TestPlace:
    def test_an_order_is_answered_pending_and_found_where_the_answer_says(self, shop: Shop) -> None:
        answer = shop.http.post("/orders", json=shop.draft(2, 1))

        assert answer.status_code == 201
        expected = {
            "customer_id": shop.customer["id"],
            "status": "Pending",
            "reason": None,
            "total_amount": None,
            "currency": "EUR",
            "delivery_address": "12 Rue de la Paix",
            "delivery_status": None,
            "needs_attention": False,
            "version": 1,
        }
        assert answer.json.items() >= expected.items()
        assert [(each["quantity"], each["price"], each["product_name"]) for each in answer.json["items"]] == [
            (2, None, None),
            (1, None, None),
        ]
        assert all(answer.json[each].endswith("+00:00") for each in ("created_at", "updated_at"))
        found = shop.http.get(answer.headers["Location"])
        assert (found.status_code, found.json) == (200, answer.json)
        assert found.headers["ETag"] == answer.headers["ETag"] == '"1"'

    def test_its_first_message_its_saga_and_its_timeline_begin_with_it(self, shop: Shop) -> None:
        answer = shop.http.post("/orders", json=shop.draft(2), headers={"X-Request-ID": "trace-7"})

        order = answer.json
        [(task, message)] = shop.sent(order)
        assert (answer.headers["X-Request-ID"], task) == ("trace-7", "inventory.check_availability")
        assert message == {
            "order_id": order["id"],
            "kind": "place",
            "no": 0,
            "correlation_id": "trace-7",
            "address": "12 Rue de la Paix",
            "lines": [{"product_id": str(shop.lamp), "quantity": 2}],
        }
        row = shop.saga(order)
        assert (row.kind, row.no, row.attempts, row.correlation_id) == ("place", 0, 0, "trace-7")
        assert row.deadline > row.started_at
        [event] = shop.timeline(order)
        told = {"kind": "placed", "from_status": None, "to_status": "Pending", "actor": "customer"}
        assert event.items() >= {**told, "correlation_id": "trace-7"}.items()

    def test_the_links_that_follow_wait_with_the_first(self, shop: Shop) -> None:
        order = shop.place()
        [row] = shop.rows("SELECT * FROM outbox ORDER BY id DESC LIMIT 1")
        assert [row.task, *(each["task"] for each in row.links)] == [
            each["task"] for each in saga.place({"order_id": order["id"]}).tasks
        ]

    def test_an_address_of_its_own_is_where_it_goes(self, shop: Shop) -> None:
        order = shop.place(delivery_address="1 Main Street")
        assert order["delivery_address"] == shop.sent(order)[0][1]["address"] == "1 Main Street"

    def test_what_may_be_left_out_may_be_null(self, shop: Shop) -> None:
        draft = shop.draft(2, delivery_address=None)
        draft["items"][0]["price"] = None
        answer = shop.http.post("/orders", json=draft)
        assert (answer.status_code, answer.json["delivery_address"]) == (201, "12 Rue de la Paix")

    def test_a_price_that_the_customer_saw_is_shown_until_the_catalogue_has_spoken(self, shop: Shop) -> None:
        order = shop.place(price="12.5")
        assert (order["items"][0]["price"], order["total_amount"]) == ("12.50", None)
        assert shop.order(order) == order

    def test_a_customer_that_does_not_exist_is_refused_by_the_name_of_the_field(self, shop: Shop) -> None:
        answer = shop.http.post("/orders", json={**shop.draft(2), "customer_id": str(uuid7())})
        assert (answer.status_code, answer.json["code"]) == (422, "unknown_customer")
        assert [each["field"] for each in answer.json["errors"]] == ["customer_id"]

    def test_a_thousand_lines_are_taken_and_one_more_is_not(self, shop: Shop) -> None:
        order = shop.place(price="1.00")
        assert len(shop.http.post("/orders", json=shop.draft(*[1] * 1_000)).json["items"]) == 1_000
        refused = shop.http.post("/orders", json=shop.draft(*[1] * 1_001))
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "items")
        assert order["items"][0]["quantity"] == 2

    def test_a_body_over_the_limit_is_refused(self, shop: Shop) -> None:
        answer = shop.http.post("/orders", json={**shop.draft(2), "note": "x" * 1_048_576})
        assert (answer.status_code, answer.json["code"]) == (413, "too_large")


class TestLook:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "", None),
            ("GET", "/events", None),
            ("PUT", "/status", {"status": "In Transit"}),
            ("PUT", "/status", {"status": "Cancelled"}),
            ("POST", "/cancel", {}),
        ],
    )
    def test_an_order_that_is_not_there_is_not_found_whatever_is_asked_of_it(
        self, shop: Shop, method: str, path: str, body: Any
    ) -> None:
        answer = shop.http.open(f"/orders/{uuid7()}{path}", method=method, json=body)
        assert (answer.status_code, answer.json["code"]) == (404, "order_not_found")

    def test_the_lines_keep_the_order_in_which_they_were_given(self, shop: Shop) -> None:
        order = shop.place()
        placed = shop.http.post("/orders", json=shop.draft(5, 1, 4, 2, 3)).json
        assert [each["quantity"] for each in shop.order(placed)["items"]] == [5, 1, 4, 2, 3]
        assert shop.order(order)["items"] == order["items"]


class TestCancel:
    @pytest.mark.parametrize("how", ["cancel", "status"])
    def test_an_order_is_cancelling_until_its_chain_has_ended(self, shop: Shop, how: str) -> None:
        order = shop.ship()

        if how == "cancel":
            answer = shop.http.post(f"/orders/{order['id']}/cancel")
        else:
            answer = shop.http.put(f"/orders/{order['id']}/status", json={"status": "Cancelled"})

        assert (answer.status_code, answer.json["status"]) == (202, "Cancelling")
        assert (answer.headers["ETag"], answer.json["reason"]) == (f'"{order["version"] + 1}"', "cancelled_by_request")
        task, message = shop.sent(order)[-1]
        assert (task, message["kind"], message["no"]) == ("delivery.cancel_delivery", "cancel", 1)
        shop.hear(about(order, "cancel", 1, delivery=("CANCELLED", 2)))
        again = shop.http.post(f"/orders/{order['id']}/cancel")
        assert (again.status_code, again.json["status"]) == (200, "Cancelled")
        assert shop.saga(order).deadline is None

    def test_what_the_customer_says_is_in_the_timeline(self, shop: Shop) -> None:
        order = shop.place()
        shop.http.post(f"/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["reason"]) == ("cancel_requested", "changed my mind")

    def test_cancelling_again_keeps_the_cancel_that_exists(self, shop: Shop) -> None:
        order = shop.place()
        first = shop.http.post(f"/orders/{order['id']}/cancel")
        second = shop.http.post(f"/orders/{order['id']}/cancel", json={"reason": "hurry"})
        assert (second.status_code, second.json) == (202, first.json)
        assert [task for task, _ in shop.sent(order)].count("delivery.cancel_delivery") == 1

    def test_a_cancel_after_one_that_was_refused_has_the_next_number(self, shop: Shop) -> None:
        order = shop.ship()
        shop.http.post(f"/orders/{order['id']}/cancel")
        shop.hear(
            about(order, "cancel", 1, outcome="refused", reason="already_in_transit", delivery=("IN_TRANSIT", 2)),
            about(order, "delivery", 3, delivery=("FAILED", 3)),
        )
        shop.http.post(f"/orders/{order['id']}/cancel")
        assert [message["no"] for task, message in shop.sent(order) if task == "delivery.cancel_delivery"] == [1, 2]
        assert shop.saga(order).no == 2

    @pytest.mark.parametrize("delivery", ["IN_TRANSIT", "DELIVERED"])
    def test_a_parcel_that_has_left_is_not_called_back(self, shop: Shop, delivery: str) -> None:
        order = shop.ship()
        shop.hear(about(order, "delivery", 2, delivery=(delivery, 2)))
        answer = shop.http.post(f"/orders/{order['id']}/cancel")
        assert (answer.status_code, answer.json["code"], answer.json["to"]) == (409, "illegal_transition", "Cancelled")
        assert "Cancelled" not in answer.json["allowed"]

    def test_an_order_that_was_rejected_has_nothing_to_cancel(self, shop: Shop) -> None:
        order = shop.place()
        shop.respond(order, reason="insufficient_stock")
        answer = shop.http.post(f"/orders/{order['id']}/cancel")
        assert (answer.status_code, answer.json["from"], answer.json["allowed"]) == (409, "Rejected", [])

    @pytest.mark.parametrize("body", [{"json": {"reason": None}}, {"data": b""}, {"data": b"{}"}])
    def test_a_reason_is_not_asked_for(self, shop: Shop, body: dict[str, Any]) -> None:
        order = shop.place()
        answer = shop.http.post(f"/orders/{order['id']}/cancel", headers={"Content-Type": "application/json"}, **body)
        assert answer.status_code == 202


class TestMove:
    def test_a_move_is_asked_of_delivery_with_the_version_that_it_was_asked_for(self, shop: Shop) -> None:
        order = shop.ship()

        answer = shop.http.put(f"/orders/{order['id']}/status", json={"status": "In Transit"})

        assert (answer.status_code, answer.json["status"]) == (202, "Pending Shipment")
        task, message = shop.sent(order)[-1]
        wish = {"kind": "move", "no": order["version"], "to_status": "IN_TRANSIT", "expected_version": 1}
        assert (task, message.items() >= {**wish, "actor": "operator"}.items()) == ("delivery.update_delivery", True)
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["from_status"], event["to_status"]) == (
            "move_requested",
            "Pending Shipment",
            "In Transit",
        )

    def test_two_requests_have_two_numbers_and_nobody_writes_the_status_but_the_saga(self, shop: Shop) -> None:
        order = shop.ship()
        for _ in range(2):
            assert shop.http.put(f"/orders/{order['id']}/status", json={"status": "In Transit"}).status_code == 202
        moves = [message["no"] for task, message in shop.sent(order) if task == "delivery.update_delivery"]
        assert moves == [order["version"], order["version"] + 1]
        assert shop.order(order)["status"] == "Pending Shipment"

    @pytest.mark.parametrize(
        ("delivery", "status"),
        [("IN_TRANSIT", "In Transit"), ("DELIVERED", "Delivered"), ("FAILED", "Delivery Failed")],
    )
    def test_a_parcel_that_is_there_already_is_200_and_nothing_is_asked(
        self, shop: Shop, delivery: str, status: str
    ) -> None:
        order = shop.ship()
        shop.hear(about(order, "delivery", 2, delivery=(delivery, 2)))
        before = shop.order(order)
        answer = shop.http.put(f"/orders/{order['id']}/status", json={"status": status})
        assert (answer.status_code, answer.json) == (200, before)
        assert "delivery.update_delivery" not in [task for task, _ in shop.sent(order)]

    @pytest.mark.parametrize(
        ("wanted", "allowed"),
        [
            ("Delivered", ["Cancelled", "In Transit"]),
            ("Pending Shipment", ["Cancelled", "In Transit"]),
            ("Pending", ["Cancelled", "In Transit"]),
            ("Cancelling", ["Cancelled", "In Transit"]),
            ("Rejected", ["Cancelled", "In Transit"]),
        ],
    )
    def test_what_may_not_be_asked_for_is_409_naming_from_to_and_what_is_allowed(
        self, shop: Shop, wanted: str, allowed: list[str]
    ) -> None:
        order = shop.ship()
        answer = shop.http.put(f"/orders/{order['id']}/status", json={"status": wanted})
        assert (answer.status_code, answer.json["code"]) == (409, "illegal_transition")
        refusal = {name: answer.json[name] for name in ("from", "to", "allowed")}
        assert refusal == {"from": "Pending Shipment", "to": wanted, "allowed": allowed}
        assert shop.order(order) == order

    @pytest.mark.parametrize("wanted", ["In Transit", "Delivered", "Pending", "Cancelling"])
    def test_while_it_is_cancelling_nothing_else_can_be_asked_for(self, shop: Shop, wanted: str) -> None:
        order = shop.ship()
        shop.http.post(f"/orders/{order['id']}/cancel")
        answer = shop.http.put(f"/orders/{order['id']}/status", json={"status": wanted})
        assert (answer.status_code, answer.json["from"], answer.json["allowed"]) == (409, "Cancelling", [])


class TestIfMatch:
    @pytest.mark.parametrize(("method", "path", "body"), [("POST", "cancel", {}), ("PUT", "status", "In Transit")])
    @pytest.mark.parametrize(
        ("if_match", "stale"),
        [('"{0}"', False), ("*", False), ('"99", "{0}"', False), ('"{1}"', True), ("{0}", True), ('W/"{0}"', True)],
    )
    def test_a_change_decided_on_another_version_is_refused(
        self, shop: Shop, method: str, path: str, body: Any, if_match: str, stale: bool
    ) -> None:
        order = shop.ship()
        headers = {"If-Match": if_match.format(order["version"], order["version"] - 1)}
        here = f"/orders/{order['id']}/{path}"
        answer = shop.http.open(here, method=method, json=body if body == {} else {"status": body}, headers=headers)
        assert answer.status_code == (412 if stale else 202)
        assert answer.json.get("code") == ("stale_version" if stale else None)
        assert (shop.order(order) == order) == stale


class TestOneTransaction:
    """The order, its saga, its timeline and its first message are written together, or not at all."""

    @pytest.mark.parametrize(
        ("module", "broken"), [(chains, "enqueue"), (chains, "open_sagas"), (placing, "add_events")]
    )
    def test_an_order_that_cannot_be_written_whole_is_not_written(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, module: Any, broken: str
    ) -> None:
        def die(*_arguments: Any, **_options: Any) -> int:
            raise OSError("disk on fire")

        monkeypatch.setattr(module, broken, die)
        assert shop.http.post("/orders", json=shop.draft(2)).status_code == 500
        assert orphans(shop) == []
        assert shop.rows("SELECT id FROM orders WHERE customer_id = :id", id=shop.customer["id"]) == []

    def test_control_a_message_that_is_written_after_the_commit_leaves_an_order_without_one(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The very check above finds it: so it would find an outbox that is not in the order's transaction."""
        from chassis.database import after_commit

        def die() -> None:
            raise SystemExit("killed between the commit and the message")

        def enqueue_later(session: Any, *_arguments: Any, **_options: Any) -> int:
            after_commit(session, die)
            return 0

        monkeypatch.setattr(chains, "enqueue", enqueue_later)
        with pytest.raises(SystemExit), transaction(shop.sessions) as session:
            placing.place_order(session, {"customer_id": shop.customer["id"], "items": [line(shop)]}, None, "c-1")
        assert len(orphans(shop)) == 1


def line(shop: Shop) -> dict[str, Any]:
    return {"product_id": shop.lamp, "quantity": 1}


def orphans(shop: Shop) -> list[Any]:
    """This shop's Pending orders that no message is about: answered for, and never worked on."""
    pending = "SELECT id FROM orders WHERE status = 'Pending' AND customer_id = :customer"
    told = "SELECT FROM outbox, json_array_elements(bundle) AS told WHERE told ->> 'order_id' = orders.id::text"
    return shop.rows(f"{pending} AND NOT EXISTS ({told})", customer=shop.customer["id"])


def test_the_first_cancel_of_an_order_whose_saga_row_is_missing_has_the_number_one(shop: Shop) -> None:
    order = shop.place()
    shop.rows("DELETE FROM order_sagas WHERE order_id = :id RETURNING 1", id=order["id"])
    assert shop.http.post(f"/orders/{order['id']}/cancel").status_code == 202
    assert (shop.saga(order).kind, shop.saga(order).no) == ("cancel", 1)


def test_an_order_of_nobody_raises_its_refusal(shop: Shop) -> None:
    body = {"customer_id": uuid7(), "items": [{"product_id": uuid7(), "quantity": 1}]}
    with pytest.raises(UnknownCustomer), transaction(shop.sessions) as session:
        placing.place_order(session, body, None, "test")
