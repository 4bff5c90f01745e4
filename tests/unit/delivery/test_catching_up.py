"""A delivery of an older backup is brought up to what sales was told of it."""

from uuid import UUID

import pytest

from delivery.models import Delivery
from delivery.status import DeliveryStatus as S


@pytest.mark.parametrize(
    ("version", "cancel_no", "then"),
    [
        (4, 3, (S.DELIVERED, 4, 3, 1)),
        (4, 1, (S.DELIVERED, 4, 2, 1)),
        (3, 3, (S.IN_TRANSIT, 3, 3, 0)),
        (2, 1, (S.IN_TRANSIT, 3, 2, 0)),
    ],
)
def test_what_is_newer_holds_and_what_is_older_changes_nothing(
    version: int, cancel_no: int, then: tuple[S, int, int, int]
) -> None:
    held = Delivery(1, UUID(int=1), S.IN_TRANSIT, 3, 2, "Lyon", UUID(int=2))
    held.catch_up(S.DELIVERED, version, cancel_no, "restored")
    assert (held.status, held.version, held.cancel_no, len(held.entries)) == then
