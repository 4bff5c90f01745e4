"""Operators over HTTP: the messages that nobody could work on, and the orders that hang."""

from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import faults
from sales.messages import Fault
from tests.integration.sales.conftest import Shop, about

BY = {"actor": "ada"}
WHY = {"actor": "ada", "reason": "told by telephone"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.rows("DELETE FROM quarantine RETURNING 1")
    return shop


def keep(shop: Shop, order: dict[str, Any] | None = None, **different: Any) -> str:
    """A step has given up on a message; returns its id."""
    order_id = order and order["id"]
    said: dict[str, Any] = {
        "order_id": order_id,
        "message_id": str(uuid7()),
        "queue": "stock_reservation_queue",
        "task": "inventory.reserve_stock",
        "body": {"bundle": [{"order_id": order_id}], "links": []},
        "headers": {"origin": "relay"},
        "reason": "ValueError: a bad line",
    }
    with transaction(shop.sessions) as session:
        faults.record_faults(session, [Fault(**{**said, **different})])
    return str({**said, **different}["message_id"])


def problem(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json"
    return answer.status_code, answer.json["code"]


class TestTheList:
    def test_has_every_message_once_over_all_its_pages_and_is_filtered(self, shop: Shop) -> None:
        order = shop.place()
        kept = [keep(shop, order if number == 2 else None) for number in range(5)]
        shop.http.post(f"/quarantine/{kept[1]}/drop", json=WHY)
        seen, query = [], {"limit": 2}
        while True:
            page = shop.http.get("/quarantine", query_string=query).json
            seen += [each["message_id"] for each in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert seen == kept[::-1]
        waiting = shop.http.get("/quarantine?state=waiting").json["items"]
        assert [each["message_id"] for each in waiting] == [kept[4], kept[3], kept[2], kept[0]]
        [mine] = shop.http.get(f"/quarantine?order_id={order['id']}").json["items"]
        assert (mine["message_id"], mine["reason"], mine["count"]) == (kept[2], "ValueError: a bad line", 1)
        assert "body" not in mine

    def test_refuses_a_cursor_that_is_none(self, shop: Shop) -> None:
        answer = shop.http.get("/quarantine?cursor=abc")
        assert (problem(answer), answer.json["errors"][0]["field"]) == ((422, "invalid"), "cursor")


class TestAMessage:
    def test_is_shown_whole_with_who_did_what_with_it(self, shop: Shop) -> None:
        order = shop.place()
        message_id = keep(shop, order)
        shop.http.post(f"/quarantine/{message_id}/replay", json=BY)
        keep(shop, order, message_id=message_id)
        shown = shop.http.get(f"/quarantine/{message_id}").json
        assert (shown["body"]["bundle"], shown["headers"]) == ([{"order_id": order["id"]}], {"origin": "relay"})
        assert (shown["state"], shown["count"], shown["settled_by"]) == ("waiting", 2, None)
        assert [(each["action"], each["actor"]) for each in shown["actions"]] == [("replayed", "ada")]
        assert shown["flagged_orders"] == [order["id"]]

    @pytest.mark.parametrize("path", ["nobody", "a/b", "nul%00", "%ff"])
    def test_that_is_not_there_is_404_however_its_id_looks(self, shop: Shop, path: str) -> None:
        for answer in (
            shop.http.get(f"/quarantine/{path}"),
            shop.http.post(f"/quarantine/{path}/replay", json=BY),
            shop.http.post(f"/quarantine/{path}/drop", json=WHY),
        ):
            assert problem(answer) == (404, "message_not_found")

    def test_with_a_slash_in_its_id_is_found(self, shop: Shop) -> None:
        message_id = keep(shop, message_id=f"{uuid7()}/replay")
        assert shop.http.get(f"/quarantine/{message_id}").json["message_id"] == message_id


class TestReplay:
    def test_sends_it_once_however_often_it_is_asked_for(self, shop: Shop) -> None:
        order = shop.place()
        message_id = keep(shop, order)
        answers = [shop.http.post(f"/quarantine/{message_id}/replay", json=BY) for _ in range(3)]
        assert [(each.status_code, each.json["state"], each.json["settled_by"]) for each in answers] == [
            (200, "replayed", "ada")
        ] * 3
        assert [task for task, _ in shop.sent(order)].count("inventory.reserve_stock") == 1
        assert len(answers[-1].json["actions"]) == 1
        assert not shop.order(order)["needs_attention"]

    def test_of_what_no_step_could_work_on_is_refused_and_it_goes_on_waiting(self, shop: Shop) -> None:
        message_id = keep(shop, task="inventory.unheard_of")
        answer = shop.http.post(f"/quarantine/{message_id}/replay", json=BY)
        assert problem(answer) == (409, "not_replayable")
        assert shop.http.get(f"/quarantine/{message_id}").json["state"] == "waiting"

    def test_after_a_drop_is_refused_and_says_that_it_was_dropped(self, shop: Shop) -> None:
        order = shop.place()
        message_id = keep(shop, order)
        shop.http.post(f"/quarantine/{message_id}/drop", json=WHY)
        answer = shop.http.post(f"/quarantine/{message_id}/replay", json={"actor": "bob"})
        assert problem(answer) == (409, "already_settled")
        assert (answer.json["state"], answer.json["settled_by"]) == ("dropped", "ada")
        assert "inventory.reserve_stock" not in [task for task, _ in shop.sent(order)]


def test_a_drop_is_on_record_with_its_reason_and_names_the_orders_that_stay_flagged(shop: Shop) -> None:
    order = shop.place()
    answer = shop.http.post(f"/quarantine/{keep(shop, order)}/drop", json=WHY)
    assert (answer.status_code, answer.json["state"]) == (200, "dropped")
    assert [(each["actor"], each["reason"]) for each in answer.json["actions"]] == [("ada", "told by telephone")]
    assert answer.json["flagged_orders"] == [order["id"]]
    answer = shop.http.post(f"/orders/{order['id']}/resume", json=WHY)
    assert (answer.status_code, answer.json["needs_attention"]) == (202, False)
    event = shop.timeline(order)[-1]
    assert (event["kind"], event["actor"], event["reason"]) == ("resumed", "ada", "told by telephone")


class TestCompensate:
    def give_up(self, shop: Shop, order: dict[str, Any], **headers: str) -> Any:
        return shop.http.post(f"/orders/{order['id']}/compensate", json=WHY, headers=headers)

    def test_starts_the_cancel_chain_clears_the_flag_and_is_on_record(self, shop: Shop) -> None:
        order = shop.place()
        keep(shop, order)
        answer = self.give_up(shop, order)
        assert (answer.status_code, answer.json["status"], answer.json["needs_attention"]) == (202, "Cancelling", False)
        assert answer.headers["ETag"] == f'"{answer.json["version"]}"'
        assert (shop.saga(order).kind, shop.saga(order).no) == ("cancel", 1)
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["actor"], event["reason"]) == ("compensate_requested", "ada", "told by telephone")
        assert (event["from_status"], event["to_status"]) == ("Pending", "Cancelling")

    def test_again_sends_nothing_while_the_cancel_waits_to_leave(self, shop: Shop) -> None:
        order = shop.place()
        for _ in range(2):
            assert self.give_up(shop, order).status_code == 202
        assert [task for task, _ in shop.sent(order)].count("delivery.cancel_delivery") == 1

    def test_sends_a_cancel_that_hangs_again_under_its_own_number(self, shop: Shop) -> None:
        order = shop.ship()
        shop.http.post(f"/orders/{order['id']}/cancel")
        shop.rows("DELETE FROM outbox RETURNING 1")
        keep(shop, order)
        assert self.give_up(shop, order).status_code == 202
        [(task, sent)] = shop.sent(order)
        assert (task, sent["no"], shop.saga(order).no) == ("delivery.cancel_delivery", 1, 1)
        assert not shop.order(order)["needs_attention"]

    def test_of_a_cancelled_order_changes_nothing_but_its_flag(self, shop: Shop) -> None:
        order = shop.ship()
        self.give_up(shop, order)
        shop.hear(about(order, "cancel", 1, delivery=("CANCELLED", 2)))
        before = shop.order(order)
        answer = self.give_up(shop, order)
        assert (answer.status_code, answer.json) == (200, before)
        keep(shop, order)
        answer = self.give_up(shop, order)
        assert (answer.status_code, answer.json["needs_attention"], answer.json["status"]) == (200, False, "Cancelled")

    @pytest.mark.parametrize(
        ("delivery", "allowed"),
        [(("IN_TRANSIT", 2), ["Delivered", "Delivery Failed"]), (("DELIVERED", 3), [])],
    )
    def test_is_refused_with_what_is_allowed_once_the_parcel_has_left(
        self, shop: Shop, delivery: tuple[str, int], allowed: list[str]
    ) -> None:
        order = shop.ship()
        shop.hear(about(order, "delivery", delivery[1], delivery=delivery))
        answer = self.give_up(shop, order)
        assert (problem(answer), answer.json["allowed"]) == ((409, "illegal_transition"), allowed)

    def test_of_a_rejected_order_is_refused(self, shop: Shop) -> None:
        order = shop.place()
        shop.respond(order, reason="insufficient_stock")
        assert problem(self.give_up(shop, order)) == (409, "illegal_transition")

    def test_for_another_version_is_refused(self, shop: Shop) -> None:
        order = shop.place()
        assert problem(self.give_up(shop, order, **{"If-Match": '"7"'})) == (412, "stale_version")
        assert shop.order(order)["status"] == "Pending"

    def test_of_an_order_that_does_not_exist_is_404(self, shop: Shop) -> None:
        for what in ("compensate", "resume"):
            answer = shop.http.post(f"/orders/{UUID(int=7)}/{what}", json=WHY)
            assert problem(answer) == (404, "order_not_found")
