"""The states of a delivery and the one table of its moves."""

from enum import StrEnum

from delivery.errors import IllegalTransition


class DeliveryStatus(StrEnum):
    """Where the parcel is."""

    PENDING = "PENDING"
    IN_TRANSIT = "IN_TRANSIT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


PENDING, IN_TRANSIT, DELIVERED, FAILED, CANCELLED = DeliveryStatus

#: From here, to there. A failed delivery may go out again; what left the house is not cancelled on the way.
MOVES: dict[DeliveryStatus, tuple[DeliveryStatus, ...]] = {
    PENDING: (IN_TRANSIT, CANCELLED),
    IN_TRANSIT: (DELIVERED, FAILED),
    FAILED: (IN_TRANSIT, CANCELLED),
    DELIVERED: (),
    CANCELLED: (),
}


def check_move(current: DeliveryStatus, to: DeliveryStatus) -> None:
    """Refuse every move that the table does not name. Raises IllegalTransition.

    Staying where it is, is not a move: who may repeat itself asks for that first.
    """
    if to not in MOVES[current]:
        raise IllegalTransition(current, to, MOVES[current])
