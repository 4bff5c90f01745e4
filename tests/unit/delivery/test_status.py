"""Every pair of delivery states, against the table as the business wrote it down."""

from itertools import product

import pytest

from delivery.errors import IllegalTransition
from delivery.status import MOVES, DeliveryStatus, check_move

LEGAL = {
    ("PENDING", "IN_TRANSIT"),
    ("PENDING", "CANCELLED"),
    ("IN_TRANSIT", "DELIVERED"),
    ("IN_TRANSIT", "FAILED"),
    ("FAILED", "IN_TRANSIT"),
    ("FAILED", "CANCELLED"),
}
PAIRS = list(product(DeliveryStatus, DeliveryStatus))


@pytest.mark.parametrize(("current", "to"), [pair for pair in PAIRS if pair in LEGAL])
def test_a_legal_move_is_let_through(current: DeliveryStatus, to: DeliveryStatus) -> None:
    check_move(current, to)


@pytest.mark.parametrize(("current", "to"), [pair for pair in PAIRS if pair not in LEGAL])
def test_an_illegal_move_is_refused_naming_from_to_and_what_is_allowed(
    current: DeliveryStatus, to: DeliveryStatus
) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        check_move(current, to)

    allowed = [after for after in DeliveryStatus if (current, after) in LEGAL]
    assert refusal.value.extra == {"from": current, "to": to, "allowed": allowed}
    assert current in refusal.value.detail
    assert to in refusal.value.detail


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(MOVES) == set(DeliveryStatus)


def test_every_state_is_reached_from_pending() -> None:
    reached = {DeliveryStatus.PENDING}
    for _ in DeliveryStatus:
        reached |= {after for before in reached for after in MOVES[before]}
    assert reached == set(DeliveryStatus)
