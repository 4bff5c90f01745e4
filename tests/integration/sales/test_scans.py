"""A courier scans the parcel of an order that is cancelled: somebody has to look at it, and only that clears it."""

from typing import Any

import pytest

from chassis.database import transaction
from sales import faults
from sales.attention import SENTENCES, Cause
from sales.messages import StatusUpdate
from tests.integration.sales.conftest import Shop, about
from tests.integration.sales.test_faults import fault, record

SAID = "A courier scanned the cancelled parcel as IN_TRANSIT at Lyon, 2026-03-02 12:00 UTC."


def scan(order: dict[str, Any], no: int = 1772452800000000) -> StatusUpdate:
    return about(order, "scan", no, detail=SAID)


def cancelled(shop: Shop) -> dict[str, Any]:
    order = cancelling(shop)
    shop.hear(end_of_cancel(order))
    return shop.order(order)


def cancelling(shop: Shop) -> dict[str, Any]:
    order = shop.ship()
    shop.http.post(f"/orders/{order['id']}/cancel", json={})
    return shop.order(order)


def end_of_cancel(order: dict[str, Any]) -> StatusUpdate:
    return about(order, "cancel", 1, delivery=("CANCELLED", 2))


def replay(shop: Shop, message_id: str) -> None:
    with transaction(shop.sessions) as session:
        faults.replay_message(session, message_id, "ada")


def by_operator(shop: Shop, order: dict[str, Any], what: str) -> Any:
    return shop.http.post(f"/orders/{order['id']}/{what}", json={"actor": "ada", "reason": "fetched it back"})


def test_a_cancelled_order_is_put_before_people_with_a_code_a_sentence_and_what_to_look_at(shop: Shop) -> None:
    order = cancelled(shop)

    shop.hear(scan(order))

    now, event = shop.order(order), shop.timeline(order)[-1]
    assert (now["status"], now["needs_attention"], now["version"]) == ("Cancelled", True, order["version"] + 1)
    assert now["attention"] == {
        "code": "scanned_after_cancel",
        "detail": SENTENCES[Cause.SCANNED],
        "since": event["at"],
        "next": f"conveyor delivery show {order['id']}",
    }
    assert (event["kind"], event["actor"], event["reason"]) == ("scanned", "courier", SAID)
    assert shop.http.get(f"/orders?needs_attention=true&customer_id={shop.customer['id']}").json["items"]


def test_it_changes_nothing_else_of_the_order(shop: Shop) -> None:
    order = cancelled(shop)
    shop.hear(scan(order))
    changed = {"needs_attention", "attention", "attention_reason", "version", "updated_at"}
    now = shop.order(order)
    assert {name: now[name] for name in now.keys() - changed} == {name: order[name] for name in order.keys() - changed}


def test_the_message_again_is_noted_once_and_flags_nothing_that_somebody_has_seen_to(shop: Shop) -> None:
    order = cancelled(shop)
    shop.hear(scan(order), scan(order))
    assert by_operator(shop, order, "resume").status_code == 200
    seen = shop.order(order)

    shop.hear(scan(order))

    assert (shop.order(order), shop.kinds(order).count("scanned")) == (seen, 1)
    assert not seen["needs_attention"]
    shop.hear(scan(order, 2))
    assert shop.order(order)["needs_attention"], "another scan is another reason to look"


@pytest.mark.parametrize("what", ["resume", "compensate"])
def test_whoever_resumes_or_gives_up_the_order_clears_it(shop: Shop, what: str) -> None:
    order = cancelled(shop)
    shop.hear(scan(order))

    assert by_operator(shop, order, what).status_code == 200

    assert not shop.order(order)["needs_attention"]


def test_an_order_that_is_being_cancelled_is_flagged_at_the_end_of_that(shop: Shop) -> None:
    """A flag in between would keep the sweeper from a chain that is lost, and be cleared by its end."""
    order = cancelling(shop)
    shop.hear(scan(order))
    assert not shop.order(order)["needs_attention"]

    shop.hear(end_of_cancel(order))

    now = shop.order(order)
    assert (now["status"], now["needs_attention"]) == ("Cancelled", True)
    assert now["attention"]["code"] == "scanned_after_cancel"


@pytest.mark.parametrize("first", ["scan", "end"])
def test_a_scan_and_the_cancels_end_may_share_a_bundle(shop: Shop, first: str) -> None:
    order = cancelling(shop)
    both = [scan(order), end_of_cancel(order)]
    shop.hear(*(both if first == "scan" else both[::-1]))
    assert (shop.order(order)["status"], shop.order(order)["needs_attention"]) == ("Cancelled", True)


def test_only_its_own_order_is_flagged(shop: Shop) -> None:
    order, neighbour = cancelled(shop), cancelling(shop)
    shop.hear(scan(order), end_of_cancel(neighbour))
    assert [shop.order(each)["needs_attention"] for each in (order, neighbour)] == [True, False]


def test_a_message_that_is_replayed_clears_its_own_reason_and_leaves_the_scan(shop: Shop) -> None:
    order = cancelled(shop)
    shop.hear(scan(order))
    found = fault(order["id"])
    record(shop, found)
    assert shop.order(order)["attention"]["code"] == "step_failed"

    replay(shop, found.message_id)

    now = shop.order(order)
    assert (now["needs_attention"], now["attention"]["code"]) == (True, "scanned_after_cancel")


def test_what_the_release_before_could_not_read_is_replayed_here(shop: Shop) -> None:
    """Its worker puts a message of this kind into the quarantine, and its order before people."""
    order = cancelled(shop)
    said = {"order_id": order["id"], "kind": "scan", "no": 7, "correlation_id": "c-1", "detail": SAID}
    found = fault(order["id"])
    with transaction(shop.sessions) as session:
        faults.keep_in_quarantine(
            session,
            message_id=found.message_id,
            order_id=order["id"],
            queue="order_status_queue",
            task="sales.update_order_status",
            body={"bundle": [said], "links": []},
            headers={},
            reason="ValidationError: Invalid enum value 'scan'",
        )

    replay(shop, found.message_id)

    assert ("sales.update_order_status", said) in shop.sent(order)
    shop.hear(about(order, "scan", 7, detail=SAID))
    assert shop.order(order)["attention"]["code"] == "scanned_after_cancel"
