"""The judgement of a chaos run: each broken promise is found, and a run in order has none."""

from dataclasses import replace

import pytest

from conveyor.chaos.plans import Move, Plan
from conveyor.chaos.promises import Evidence, Order, broken
from conveyor.chaos.shop import Known, Told
from conveyor.replay.book import Invoice, Item

PLENTIFUL = frozenset({"MUG"})
TAKEN, CANCELLED = Told(201), Told(202)
INVOICE = Invoice("1", "", "", None, [Item("MUG", 2, 1, "")])
TO_TRANSIT, DELIVER = Move(1, "IN_TRANSIT", False), Move(1, "DELIVERED", False)
PLAN = Plan(0, 0.0, INVOICE, None, ())


def known(order_id: str = "a", **facts: object) -> Known:
    return replace(Known(PLAN, f"key-{order_id}", TAKEN, order_id), **facts)  # type: ignore[arg-type]


def order(order_id: str = "a", status: str = "Pending Shipment", **facts: object) -> Order:
    return replace(Order(order_id, f"key-{order_id}", status, None, False, 0, 0), **facts)  # type: ignore[arg-type]


def kinds(
    told: list[Known], *orders: Order, log: tuple[str, ...] = ("PENDING",), stock: int = 8, shipped: int = 2
) -> list[str]:
    logs = {each.id: log for each in orders}
    found = broken(
        told,
        Evidence({each.id: each for each in orders}, logs, {"mug": stock}, {"mug": shipped}),
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
    assert kinds(told, left, log=("PENDING", "IN_TRANSIT")) == []
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


def test_what_a_courier_was_told_is_in_the_log() -> None:
    told = [known(moves=[(TO_TRANSIT, Told(200)), (DELIVER, Told(200))])]
    there = order(status="Delivered")
    assert kinds(told, there, log=("PENDING", "IN_TRANSIT", "DELIVERED")) == []
    assert kinds(told, there, log=("PENDING", "IN_TRANSIT")) == ["courier"]


def test_a_move_that_was_refused_need_not_be_in_the_log() -> None:
    assert kinds([known(moves=[(TO_TRANSIT, Told(409, "illegal_transition", "CANCELLED"))])], order()) == []


def test_a_delivery_that_went_back_is_found() -> None:
    there = order(status="In Transit")
    assert kinds([known()], there, log=("PENDING", "IN_TRANSIT", "DELIVERED", "IN_TRANSIT")) == ["went_back"]
    assert kinds([known()], there, log=("PENDING", "IN_TRANSIT", "FAILED", "IN_TRANSIT")) == []


def test_stock_that_is_neither_there_nor_shipped_is_found() -> None:
    assert kinds([known()], order(), stock=7) == ["stock_sold"]
    assert kinds([known()], order(), stock=9) == ["stock_sold"]


def test_an_order_that_stays_flagged_is_found() -> None:
    assert kinds([known()], order(flagged=True)) == ["flagged"]
