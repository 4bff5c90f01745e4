"""Every pair of order statuses, against the tables as the business wrote them down."""

from itertools import product

import pytest

from sales.errors import IllegalTransition
from sales.status import (
    DELIVERY_OF_STATUS,
    ENDED,
    MOVES,
    NOT_SHIPPING,
    STATUS_OF_DELIVERY,
    OrderStatus,
    check_request,
    reason_detail,
    requestable,
)

MOVES_IN_WORDS = """
Pending: Pending Shipment, Rejected, Cancelling
Pending Shipment: In Transit, Cancelling
In Transit: Delivered, Delivery Failed
Delivery Failed: In Transit, Cancelling
Cancelling: Cancelled, In Transit, Delivered, Delivery Failed
Delivered: -
Cancelled: -
Rejected: -
"""
#: What people may ask for; everything else happens by itself, or never.
REQUESTS = {
    ("Pending", "Cancelled"),
    ("Pending Shipment", "Cancelled"),
    ("Pending Shipment", "In Transit"),
    ("In Transit", "Delivered"),
    ("In Transit", "Delivery Failed"),
    ("Delivery Failed", "Cancelled"),
    ("Delivery Failed", "In Transit"),
}
PAIRS = list(product(OrderStatus, OrderStatus))


def test_the_table_of_moves_is_the_one_that_the_business_wrote_down() -> None:
    rows = [line.partition(": ") for line in MOVES_IN_WORDS.strip().splitlines()]
    written = {current: tuple(to.split(", ")) if to != "-" else () for current, _, to in rows}
    assert {str(current): tuple(map(str, to)) for current, to in MOVES.items()} == written


@pytest.mark.parametrize(("current", "wanted"), [pair for pair in PAIRS if pair in REQUESTS])
def test_what_may_be_asked_for_is_let_through(current: OrderStatus, wanted: OrderStatus) -> None:
    check_request(current, wanted)


@pytest.mark.parametrize(("current", "wanted"), [pair for pair in PAIRS if pair not in REQUESTS])
def test_any_other_request_is_refused_naming_from_to_and_what_is_allowed(
    current: OrderStatus, wanted: OrderStatus
) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        check_request(current, wanted)

    allowed = refusal.value.extra["allowed"]
    assert {(current, each) for each in allowed} == {pair for pair in REQUESTS if pair[0] == current}
    assert (refusal.value.extra["from"], refusal.value.extra["to"]) == (current, wanted)
    assert f"{current} cannot become {wanted}" in refusal.value.detail
    assert (" or ".join(allowed) or "nothing") in refusal.value.detail


def test_what_may_be_asked_for_is_a_move_of_the_table() -> None:
    for current, wanted in product(OrderStatus, requestable(OrderStatus.PENDING)):
        if wanted in requestable(current):
            through = OrderStatus.CANCELLING if wanted == OrderStatus.CANCELLED else wanted
            assert through in MOVES[current]


def test_every_status_is_reached_from_pending_and_what_has_no_way_out_has_ended() -> None:
    reached = {OrderStatus.PENDING}
    for _ in OrderStatus:
        reached |= {to for current in reached for to in MOVES[current]}
    assert reached == set(OrderStatus)
    assert {each for each in OrderStatus if not MOVES[each]} <= ENDED


def test_an_order_that_is_shipping_is_what_its_delivery_is_and_the_way_back_is_the_same() -> None:
    assert set(STATUS_OF_DELIVERY.values()) == set(OrderStatus) - NOT_SHIPPING - {OrderStatus.PENDING}
    for wanted, delivery in DELIVERY_OF_STATUS.items():
        assert STATUS_OF_DELIVERY[delivery] == wanted


@pytest.mark.parametrize(
    ("reason", "noted", "sentence"),
    [
        (None, "whatever", None),
        ("cancelled_by_request", None, "The customer cancelled it."),
        ("cancelled_by_request", "changed my mind", "The customer cancelled it: changed my mind"),
        ("insufficient_stock", "Lamp: 3 wanted, 2 in stock.", "Lamp: 3 wanted, 2 in stock."),
        ("insufficient_stock", "insufficient_stock", "Insufficient stock."),
        ("insufficient_stock", None, "Insufficient stock."),
    ],
)
def test_a_reason_is_told_in_a_sentence(reason: str | None, noted: str | None, sentence: str | None) -> None:
    assert reason_detail(reason, noted) == sentence
