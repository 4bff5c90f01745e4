"""The states of a delivery, the one table of its moves, and the one rule by which scans decide."""

from datetime import datetime, timedelta
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

#: What a courier scans. A parcel is PENDING before its first scan, and is cancelled with its order.
SCANNED = (IN_TRANSIT, DELIVERED, FAILED)

#: So far ahead a courier's clock may be. What is said to happen later than that has no time of its own.
AHEAD = timedelta(minutes=5)
_JUST_BEFORE = timedelta(microseconds=1)

#: Where an operator or a cancel takes a delivery: from here, to there. A failed delivery may go out again; what left
#: the house is not cancelled on the way. A scan is no move: it tells what has happened, whatever was known before.
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


def time_of_scan(told: datetime | None, received: datetime) -> datetime:
    """When a scan has happened: as the courier says, or when it came where he says nothing or names the future."""
    return told if told is not None and told <= received + AHEAD else received


def status_by_scan(
    current: DeliveryStatus, latest: datetime | None, scanned: DeliveryStatus, at: datetime, received: datetime
) -> DeliveryStatus:
    """What a parcel is that was ``current`` by the scan of the time ``latest``, and is now scanned, of the time ``at``.

    The latest scan decides, in whatever order they arrive; of two of one time it is FAILED. DELIVERED stays, once it
    was scanned at any time, and so does CANCELLED.
    """
    if current in (DELIVERED, CANCELLED):
        return current
    if scanned == DELIVERED or latest is None:
        return scanned
    # No scan is stored with a time so far ahead, so the clock was set back since. It came before this one, at least.
    known = latest if latest <= received + AHEAD else received - _JUST_BEFORE
    if at == known:
        return FAILED if FAILED in (current, scanned) else current
    return scanned if at > known else current
