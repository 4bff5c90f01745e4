"""The judgement of a chaos run: each broken promise is found, and a run in order has none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from conveyor.chaos.parcels import Entry, Parcel
from conveyor.chaos.plans import Move, Plan
from conveyor.chaos.promises import Evidence, Order, broken
from conveyor.chaos.shop import Known, Told
from conveyor.replay.book import Invoice, Item

PLENTIFUL = frozenset({"MUG"})
TAKEN, CANCELLED = Told(201), Told(202)
INVOICE = Invoice("1", "", "", None, [Item("MUG", 2, 1, "")])
TO_TRANSIT, DELIVER = Move(1, "IN_TRANSIT", False), Move(1, "DELIVERED", False)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PLAN = Plan(0, 0.0, INVOICE, None, ())


def known(order_id: str = "a", **facts: object) -> Known:
    return replace(Known(PLAN, f"key-{order_id}", TAKEN, order_id), **facts)  # type: ignore[arg-type]


def order(order_id: str = "a", status: str = "Pending Shipment", **facts: object) -> Order:
    return replace(Order(order_id, f"key-{order_id}", status, None, False, 0, 0), **facts)  # type: ignore[arg-type]


def scanned(status: str, *log: str, hours: tuple[int, ...] = ()) -> Parcel:
    """A parcel with these scans behind its dispatch, each an hour after the one before, or at these hours."""
    at = [NOON + timedelta(hours=each) for each in hours or range(1, len(log) + 1)]
    entries = [Entry(each, moment, f"key-a/{n}") for n, (each, moment) in enumerate(zip(log, at, strict=True))]
    return Parcel(status, [Entry("PENDING", NOON), *entries])


def kinds(
    told: list[Known], *orders: Order, parcel: Parcel | None = None, stock: int = 8, shipped: int = 2
) -> list[str]:
    parcels = {each.id: parcel or Parcel("PENDING", [Entry("PENDING", NOON)]) for each in orders}
    found = broken(
        told,
        Evidence({each.id: each for each in orders}, parcels, {"mug": stock}, {"mug": shipped}),
        {"mug": 10},
        PLENTIFUL,
    )
    return [each.kind for each in found]


def test_a_run_in_order_breaks_no_promise() -> None:
    assert kinds([known()], order()) == []


def test_an_order_that_was_answered_201_and_does_not_exist_is_lost() -> None:
    assert kinds([known("a"), known("b")], order("a")) == ["lost_order"]


def test_two_orders_for_one_key_are_found() -> None:
    assert "two_orders" in kinds([known("a")], order("a"), order("b", key="key-a"))


def test_an_order_that_nobody_has_placed_is_found() -> None:
    assert kinds([known("a")], order("a"), order("b")) == ["unknown_order"]


@pytest.mark.parametrize("placed", [Told(500, "internal_error"), Told(422, "invalid")])
def test_an_order_that_was_refused_at_the_door_is_found(placed: Told) -> None:
    assert kinds([known(placed=placed, order_id=None)], shipped=0, stock=10) == ["answer"]


def test_an_answer_that_no_client_should_see_is_found() -> None:
    assert kinds([known(surprises=[Told(500, "internal_error")])], order()) == ["answer"]


def test_a_request_that_was_never_answered_is_found() -> None:
    assert kinds([known(placed=None, order_id=None)], shipped=0, stock=10) == ["unanswered"]
    asked = replace(PLAN, cancel_after=1.0)
    assert kinds([known(plan=asked)], order()) == ["unanswered"]


def test_a_cancel_that_was_accepted_is_honoured_or_refused_because_the_parcel_left() -> None:
    told = [known(cancel=CANCELLED)]
    assert kinds(told, order(status="Cancelled", cancels_requested=1), shipped=0, stock=10) == []
    left = order(status="In Transit", cancels_requested=1, cancels_refused=1)
    assert kinds(told, left, parcel=scanned("IN_TRANSIT", "IN_TRANSIT")) == []
    assert kinds(told, order(status="Pending Shipment", cancels_requested=1)) == ["cancel"]
    assert kinds(told, order(status="Delivered", cancels_requested=1)) == ["cancel"]


def test_a_cancel_that_was_refused_names_a_status_from_which_nothing_is_cancelled() -> None:
    left = order(status="In Transit")
    assert kinds([known(cancel=Told(409, "illegal_transition", "In Transit"))], left) == []
    assert kinds([known(cancel=Told(409, "illegal_transition", "Pending"))], left) == ["answer"]
    assert kinds([known(cancel=Told(500))], left) == ["answer"]


def test_an_order_that_is_cancelled_without_a_cancel_is_found() -> None:
    assert kinds([known()], order(status="Cancelled"), shipped=0, stock=10) == ["cancel"]


def test_a_refusal_needs_a_product_that_runs_short() -> None:
    refused = order(status="Rejected", reason="insufficient_stock")
    assert kinds([known()], refused, shipped=0, stock=10) == ["refusal"]
    scarce = replace(PLAN, invoice=replace(INVOICE, items=[Item("LAMP", 1, 1, "")]))
    assert kinds([known(plan=scarce)], refused, shipped=0, stock=10) == []
    assert kinds([known(plan=scarce)], replace(refused, reason="price_changed"), shipped=0, stock=10) == ["refusal"]


def test_what_a_courier_was_told_is_in_the_log_once() -> None:
    told = [known(moves=[(TO_TRANSIT, Told(200)), (DELIVER, Told(200))])]
    there = order(status="Delivered")
    both = scanned("DELIVERED", "IN_TRANSIT", "DELIVERED")
    assert kinds(told, there, parcel=both) == []
    assert kinds(told, there, parcel=scanned("IN_TRANSIT", "IN_TRANSIT")) == ["courier"]
    assert kinds(told, there, parcel=Parcel("DELIVERED", [*both.log, both.log[1]])) == ["courier"]


def test_an_operators_move_that_was_refused_need_not_be_in_the_log_and_no_scan_is_refused() -> None:
    refused = Told(409, "illegal_transition", "CANCELLED")
    assert kinds([known(moves=[(replace(TO_TRANSIT, by_operator=True), refused)])], order()) == []
    assert kinds([known(moves=[(TO_TRANSIT, refused)])], order()) == ["answer"]


@pytest.mark.parametrize(
    ("log", "hours", "is_then"),
    [
        (("IN_TRANSIT", "FAILED", "IN_TRANSIT"), (1, 2, 3), "IN_TRANSIT"),
        (("IN_TRANSIT", "FAILED"), (2, 1), "IN_TRANSIT"),
        (("FAILED", "IN_TRANSIT"), (1, 1), "FAILED"),
        (("DELIVERED", "IN_TRANSIT"), (1, 2), "DELIVERED"),
        (("CANCELLED", "DELIVERED"), (1, 2), "CANCELLED"),
        ((), (), "PENDING"),
    ],
)
def test_a_parcel_that_is_not_what_its_scans_say_is_found(
    log: tuple[str, ...], hours: tuple[int, ...], is_then: str
) -> None:
    there = order(status="In Transit", scanned=1 if log[:1] == ("CANCELLED",) else 0)
    assert kinds([known()], there, parcel=scanned(is_then, *log, hours=hours)) == []
    assert "scans" in kinds([known()], there, parcel=scanned("LOST", *log, hours=hours))


def test_a_scan_of_a_cancelled_parcel_that_nobody_was_told_of_is_found() -> None:
    there = order(scanned=1)
    parcel = scanned("CANCELLED", "CANCELLED", "IN_TRANSIT", "DELIVERED")
    assert kinds([known()], there, parcel=parcel) == ["unnoticed"]
    assert kinds([known()], replace(there, scanned=2), parcel=parcel) == []


def test_stock_that_is_neither_there_nor_shipped_is_found() -> None:
    assert kinds([known()], order(), stock=7) == ["stock_sold"]
    assert kinds([known()], order(), stock=9) == ["stock_sold"]


def test_an_order_that_stays_flagged_is_found() -> None:
    assert kinds([known()], order(flagged=True)) == ["flagged"]
