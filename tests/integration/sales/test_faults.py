"""What could not be worked on is kept, its order is flagged, and what clears the flag."""

import threading
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import faults, quarantined, service
from sales.attention import SENTENCES, Cause
from sales.messages import DeadLetter, Fault
from sales.status import ENDED
from tests.integration.sales.conftest import Shop, about


def fault(order_id: Any, message_id: str | None = None) -> Fault:
    return Fault(
        order_id=order_id,
        message_id=message_id or uuid7().hex,
        queue="stock_reservation_queue",
        task="inventory.reserve_stock",
        body={"bundle": [{"order_id": order_id}], "links": []},
        headers={},
        reason="KeyError: 'lines'",
    )


def record(shop: Shop, *several: Fault) -> list[str | None]:
    with transaction(shop.sessions) as session:
        return [each.order_id for each in faults.record_faults(session, several)]


def kept(shop: Shop, message_id: str) -> Any:
    [row] = shop.rows("SELECT * FROM quarantine WHERE message_id = :id", id=message_id)
    return row


def test_a_fault_is_kept_whole_and_its_order_flagged(shop: Shop) -> None:
    order = shop.place()
    found = fault(order["id"])

    assert record(shop, found) == [order["id"]]

    row = kept(shop, found.message_id)
    assert (row.state, row.count, str(row.order_id), row.body) == ("waiting", 1, order["id"], found.body)
    now = shop.order(order)
    assert (now["needs_attention"], now["status"], now["version"]) == (True, "Pending", 2)
    event = shop.timeline(order)[-1]
    assert (event["kind"], event["code"], event["actor"]) == ("needs_attention", "step_failed", "conveyor")
    assert event["reason"] == now["attention_reason"] == now["attention"]["detail"] == SENTENCES[Cause.STEP_FAILED]
    assert now["attention"] == {
        "code": "step_failed",
        "detail": event["reason"],
        "since": event["at"],
        "next": f"conveyor quarantine list --order {order['id']}",
    }
    assert row.reason == "KeyError: 'lines'"


#: What a statement that fails makes the release before write down, and nobody may see in an order.
TOLD_TOO_MUCH = (
    'IntegrityError: (psycopg2.errors.CheckViolation) new row for relation "deliveries" violates check constraint\n'
    "DETAIL:  Failing row contains (17, 12 Rue de la Paix).\n\n[SQL: INSERT INTO deliveries VALUES (%(address)s)]\n"
    "[parameters: {'address': '12 Rue de la Paix'}]\n(Background on this error at: https://sqlalche.me/e/20/gkpj)"
)


def everything_shown(shop: Shop, order: dict[str, Any]) -> str:
    listed = shop.http.get("/orders", query_string={"needs_attention": "true", "limit": 100})
    events, messages = shop.http.get(f"/orders/{order['id']}/events"), shop.http.get("/quarantine")
    with transaction(shop.sessions) as session:
        rows = quarantined.quarantined(session, settled=True, limit=1000)
    answers = (shop.http.get(f"/orders/{order['id']}"), listed, events, messages)
    return "\n".join([*(each.text.replace(shop.customer["address"], "HOME", 1) for each in answers), str(rows)])


def test_what_a_worker_of_the_release_before_tells_of_a_fault_is_kept_without_its_values(shop: Shop) -> None:
    order = shop.place()
    found = msgspec.structs.replace(fault(order["id"]), reason=TOLD_TOO_MUCH)
    record(shop, found)

    assert kept(shop, found.message_id).reason == "IntegrityError: (psycopg2.errors.CheckViolation)"
    shown = everything_shown(shop, order)
    assert "IntegrityError: (psycopg2.errors.CheckViolation)" in shown
    for secret in ("Failing row", "DETAIL", "INSERT INTO", "parameters"):
        assert secret not in shown


def test_what_the_release_before_has_written_down_is_not_shown(shop: Shop) -> None:
    order = shop.place()
    shop.rows("UPDATE orders SET needs_attention = true WHERE id = :id RETURNING 1", id=order["id"])
    shop.rows(
        "INSERT INTO order_events (order_id, kind, number, actor, reason)"
        " VALUES (:id, 'needs_attention', 1, 'conveyor', :reason) RETURNING 1",
        id=order["id"],
        reason=TOLD_TOO_MUCH,
    )
    shop.rows("UPDATE order_sagas SET last_error = :reason WHERE order_id = :id RETURNING 1",
              id=order["id"], reason=TOLD_TOO_MUCH)  # fmt: skip
    shop.rows(
        "INSERT INTO quarantine (message_id, order_id, queue, body, headers, reason)"
        " VALUES (:message, :id, 'q', '{}', '{}', :reason) RETURNING 1",
        id=order["id"],
        message=uuid7().hex,
        reason=TOLD_TOO_MUCH,
    )

    assert shop.order(order)["attention"]["code"] == "step_failed"
    assert shop.timeline(order)[-1]["code"] == "step_failed"
    shown = everything_shown(shop, order)
    for secret in ("Failing row", "DETAIL", "INSERT INTO", "parameters"):
        assert secret not in shown


def test_no_other_order_is_touched(shop: Shop) -> None:
    order, flagged, neighbour = shop.place(), shop.place(), shop.place()
    other, found = fault(flagged["id"]), fault(order["id"])
    record(shop, other)
    before = [(shop.order(each), shop.saga(each)) for each in (flagged, neighbour)]
    record(shop, found)
    with transaction(shop.sessions) as session:
        faults.replay_message(session, found.message_id, "ada")
    assert [(shop.order(each), shop.saga(each)) for each in (flagged, neighbour)] == before
    assert not shop.order(order)["needs_attention"]


def test_of_an_order_with_another_message_the_other_one_s_reason_is_shown_once_one_is_replayed(shop: Shop) -> None:
    order, neighbour = shop.place(), shop.place()
    first, second = fault(order["id"]), fault(order["id"])
    record(shop, first, fault(neighbour["id"]))
    record(shop, msgspec.structs.replace(second, reason="the second's"))
    before = shop.saga(neighbour)
    with transaction(shop.sessions) as session:
        faults.replay_message(session, second.message_id, "ada")
    attention = shop.order(order)["attention"]
    assert (attention["code"], attention["next"]) == ("step_failed", f"conveyor quarantine list --order {order['id']}")
    assert shop.saga(neighbour) == before


def test_the_same_message_again_is_counted_and_noted_once(shop: Shop) -> None:
    order, message_id = shop.place(), uuid7().hex
    for _ in range(2):
        record(shop, fault(order["id"], message_id))
    assert kept(shop, message_id).count == 2
    assert shop.kinds(order).count("needs_attention") == 1


@pytest.mark.parametrize("order_id", [None, "garbage", str(UUID(int=7))])
def test_a_fault_of_no_order_of_ours_is_kept_too_and_harms_no_neighbour(shop: Shop, order_id: str | None) -> None:
    order, orphan = shop.place(), fault(order_id)
    assert record(shop, orphan, fault(order["id"])) == [order_id, order["id"]]
    assert kept(shop, orphan.message_id).state == "waiting"
    assert shop.order(order)["needs_attention"]


def test_two_bundles_of_faults_in_opposite_orders_do_not_lock_each_other_out(shop: Shop) -> None:
    first, second = shop.place(), shop.place()
    failed: list[BaseException] = []
    together = threading.Barrier(2)

    def go(*orders: dict[str, Any]) -> None:
        try:
            for _ in range(20):
                together.wait(30)
                record(shop, *(fault(each["id"]) for each in orders))
        except BaseException as error:
            failed.append(error)
            together.abort()

    threads = [threading.Thread(target=go, args=pair) for pair in ((first, second), (second, first))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []


class TestTheFlag:
    @pytest.fixture
    def order(self, shop: Shop) -> dict[str, Any]:
        placed = shop.place()
        record(shop, fault(placed["id"]))
        return placed

    def test_goes_with_the_end_of_the_saga(self, shop: Shop, order: dict[str, Any]) -> None:
        shop.respond(order)
        assert shop.order(order)["needs_attention"]
        shop.hear(about(order, "place", delivery=("PENDING", 1)))
        assert not shop.order(order)["needs_attention"]

    def test_goes_with_a_rejection(self, shop: Shop, order: dict[str, Any]) -> None:
        shop.respond(order, reason="insufficient_stock")
        assert not shop.order(order)["needs_attention"]

    def test_stays_while_the_order_is_cancelling_and_goes_when_it_is_cancelled(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        shop.http.post(f"/orders/{order['id']}/cancel")
        shop.hear(about(order, "delivery", 2, delivery=("PENDING", 2)))
        assert shop.order(order)["needs_attention"]
        shop.hear(about(order, "cancel", 1, delivery=("CANCELLED", 3)))
        assert not shop.order(order)["needs_attention"]

    def test_goes_when_somebody_resumes_the_order_and_its_chain_is_sent_again(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        with transaction(shop.sessions) as session:
            session.execute(text("UPDATE order_sagas SET attempts = 10, sends = 12 WHERE order_id = :id"), order)
            service.resume(session, UUID(order["id"]), "ada", "the shelf is back")
        assert not shop.order(order)["needs_attention"]
        row = shop.saga(order)
        assert (row.attempts, row.sends, row.last_error) == (0, 0, None)
        [first, again] = shop.sent(order)
        assert again == first
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["actor"], event["reason"]) == ("resumed", "ada", "the shelf is back")

    def test_goes_when_its_message_is_replayed_and_stays_when_that_is_dropped(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        [(dropped,)] = shop.rows("SELECT message_id FROM quarantine WHERE order_id = :id", id=order["id"])
        with transaction(shop.sessions) as session:
            assert faults.drop_message(session, dropped, "ada", "a bug of ours")
        attention = shop.order(order)["attention"]
        assert (attention["code"], attention["next"]) == ("message_dropped", f"conveyor order resume {order['id']}")
        again = fault(order["id"])
        record(shop, again)
        with transaction(shop.sessions) as session:
            assert faults.replay_message(session, again.message_id, "ada")
        assert not shop.order(order)["needs_attention"]

    def test_stays_while_another_message_about_the_order_waits_and_says_why(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        first, second = fault(order["id"]), fault(order["id"])
        record(shop, first, second)
        shop.rows(
            "DELETE FROM quarantine WHERE message_id <> ALL(:ours) RETURNING 1",
            ours=[first.message_id, second.message_id],
        )
        with transaction(shop.sessions) as session:
            assert faults.replay_message(session, first.message_id, "ada")
        now = shop.order(order)
        assert (now["needs_attention"], now["attention"]["code"]) == (True, "step_failed")
        assert shop.timeline(order)[-1]["reason"] == f"message {second.message_id} about it still waits"
        with transaction(shop.sessions) as session:
            assert faults.replay_message(session, second.message_id, "ada")
        now = shop.order(order)
        assert (now["needs_attention"], now["attention"], now["attention_reason"]) == (False, None, None)

    def test_stays_while_a_bundle_that_holds_the_order_waits(self, shop: Shop, order: dict[str, Any]) -> None:
        shop.rows("DELETE FROM quarantine RETURNING 1")
        alone, other = fault(order["id"]), shop.place()
        record(shop, alone)
        body = {"bundle": [{"order_id": other["id"]}, {"order_id": order["id"]}], "links": []}
        letter = DeadLetter(
            message_id=uuid7().hex, fingerprint="f", order_ids=[UUID(order["id"]), UUID(other["id"])], queue="q",
            task="inventory.reserve_stock", body=body, headers={}, reason="dead", count=1,
        )  # fmt: skip
        with transaction(shop.sessions) as session:
            faults.keep_dead_letter(session, letter)
        with transaction(shop.sessions) as session:
            assert faults.replay_message(session, alone.message_id, "ada")
        told = [shop.order(each)["attention"] for each in (order, other)]
        assert [each["code"] for each in told] == ["dead_lettered", "dead_lettered"]
        assert [each["next"].split()[:3] for each in told] == [["conveyor", "quarantine", "list"]] * 2
        with transaction(shop.sessions) as session:
            about_it = quarantined.quarantined(session, settled=False, limit=10, order_id=UUID(order["id"]))
            assert [each["message_id"] for each in about_it] == [letter.message_id]
            assert faults.replay_message(session, letter.message_id, "ada")
        assert [shop.order(each)["needs_attention"] for each in (order, other)] == [False, False]

    def test_says_why_even_when_a_cancel_has_taken_the_place_of_what_stopped(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        before = shop.order(order)["attention"]
        shop.http.post(f"/orders/{order['id']}/cancel")
        assert shop.order(order)["attention"] == before

    def test_that_nobody_has_explained_says_so(self, shop: Shop) -> None:
        order = shop.place()
        shop.rows("UPDATE orders SET needs_attention = true WHERE id = :id RETURNING 1", id=order["id"])
        attention = shop.order(order)["attention"]
        assert (attention["code"], attention["since"]) == ("not_noted", None)
        assert attention["next"] == f"conveyor order resume {order['id']}"


def test_two_messages_under_one_id_are_both_kept_and_one_that_comes_again_is_counted(shop: Shop) -> None:
    message_id = uuid7().hex

    def letter(body: str) -> DeadLetter:
        print_of = f"{message_id} {body}"
        return DeadLetter(
            message_id=message_id, fingerprint=print_of, order_ids=[], queue="q", task=None, body={"text": body},
            headers={}, reason="dead", count=1,
        )  # fmt: skip

    for body in ("one", "other", "one", "other", "third"):
        with transaction(shop.sessions) as session:
            faults.keep_dead_letter(session, letter(body))
    rows = shop.rows(
        "SELECT body->>'text' AS body, count FROM quarantine WHERE message_id LIKE :id", id=f"{message_id}%"
    )
    assert sorted(map(tuple, rows)) == [("one", 2), ("other", 2), ("third", 1)]


def test_resuming_a_flagged_order_that_has_ended_clears_the_flag_and_sends_nothing(shop: Shop) -> None:
    order = shop.ship()
    record(shop, fault(order["id"]))
    sent = shop.sent(order)
    with transaction(shop.sessions) as session:
        service.resume(session, UUID(order["id"]), "ada")
    assert shop.sent(order) == sent
    assert (shop.kinds(order)[-1], shop.order(order)["needs_attention"]) == ("resumed", False)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_an_order_that_has_ended_and_needs_no_attention_is_not_resumed(shop: Shop, status: str) -> None:
    order = shop.ship()
    shop.rows("UPDATE orders SET status = :status WHERE id = :id RETURNING 1", status=status, id=order["id"])
    before, sent = shop.timeline(order), shop.sent(order)

    answer = shop.http.post(f"/orders/{order['id']}/resume", json={"actor": "ada"})

    assert (answer.status_code, answer.json["code"], answer.json["order_status"]) == (409, "nothing_to_resume", status)
    assert status in answer.json["detail"]
    assert (shop.timeline(order), shop.sent(order)) == (before, sent)


def test_resuming_an_order_whose_saga_row_is_missing_begins_its_chain_anew(shop: Shop) -> None:
    order = shop.place()
    shop.rows("DELETE FROM order_sagas WHERE order_id = :id RETURNING 1", id=order["id"])
    with transaction(shop.sessions) as session:
        service.resume(session, UUID(order["id"]), "ada")
    assert [task for task, _ in shop.sent(order)] == ["inventory.check_availability"] * 2
    assert shop.saga(order).deadline is not None


@pytest.mark.parametrize(("first", "then"), [("replay", "drop"), ("drop", "replay")])
def test_a_message_that_was_settled_in_one_way_is_not_settled_in_the_other(shop: Shop, first: str, then: str) -> None:
    order = shop.place()
    found = fault(order["id"])
    record(shop, found)
    why = {"replay": {"actor": "ada"}, "drop": {"actor": "ada", "reason": "a test"}}
    where = f"/quarantine/{found.message_id}"
    assert shop.http.post(f"{where}/{first}", json=why[first]).status_code == 200
    before, sent = shop.timeline(order), shop.sent(order)

    answer = shop.http.post(f"{where}/{then}", json=why[then])

    assert (answer.status_code, answer.json["code"]) == (409, "already_settled")
    assert answer.json["state"] == {"replay": "replayed", "drop": "dropped"}[first]
    assert (shop.timeline(order), shop.sent(order)) == (before, sent)
    assert shop.http.post(f"{where}/{first}", json=why[first]).status_code == 200


class TestAReplay:
    """What the sweeper knows of the order's chain, after one of its messages was sent again."""

    def replay(self, shop: Shop, order: dict[str, Any]) -> None:
        found = fault(order["id"])
        record(shop, found)
        assert shop.http.post(f"/quarantine/{found.message_id}/replay", json={"actor": "ada"}).status_code == 200

    def test_lets_the_sweeper_begin_to_count_anew(self, shop: Shop) -> None:
        order = shop.place()
        shop.rows(
            "UPDATE order_sagas SET attempts = 10, sends = 12, sent_at = now() - interval '1 day',"
            " deadline = now() - interval '1 hour' WHERE order_id = :id RETURNING 1",
            id=order["id"],
        )
        self.replay(shop, order)
        now = shop.saga(order)
        assert (now.attempts, now.sends, now.deadline > now.sent_at > now.started_at) == (0, 0, True)

    def test_leaves_a_saga_closed_that_is(self, shop: Shop) -> None:
        order = shop.ship()
        before = shop.saga(order)
        self.replay(shop, order)
        assert shop.saga(order) == before
        assert before.deadline is None

    def test_does_without_a_saga_row(self, shop: Shop) -> None:
        order = shop.place()
        shop.rows("DELETE FROM order_sagas WHERE order_id = :id RETURNING 1", id=order["id"])
        self.replay(shop, order)
        assert not shop.order(order)["needs_attention"]
