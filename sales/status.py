"""What an order can be, and how it gets from one to the other: all of it in one table."""

from enum import StrEnum

from sales.errors import IllegalTransition


class OrderStatus(StrEnum):
    """The statuses of an order, as they are stored and shown."""

    PENDING = "Pending"
    PENDING_SHIPMENT = "Pending Shipment"
    IN_TRANSIT = "In Transit"
    DELIVERED = "Delivered"
    DELIVERY_FAILED = "Delivery Failed"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"


S = OrderStatus

#: What a request or a chain may do. Messages about a delivery follow its version instead, even over skipped statuses.
MOVES: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    S.PENDING: (S.PENDING_SHIPMENT, S.REJECTED, S.CANCELLING),
    S.PENDING_SHIPMENT: (S.IN_TRANSIT, S.CANCELLING),
    S.IN_TRANSIT: (S.DELIVERED, S.DELIVERY_FAILED),
    S.DELIVERY_FAILED: (S.IN_TRANSIT, S.CANCELLING),
    # Cancelled, or what the delivery says when the parcel had already left.
    S.CANCELLING: (S.CANCELLED, S.IN_TRANSIT, S.DELIVERED, S.DELIVERY_FAILED),
    S.DELIVERED: (),
    S.CANCELLED: (),
    S.REJECTED: (),
}

#: The saga has ended for now: nothing is under way.
ENDED = frozenset(S) - {S.PENDING, S.CANCELLING}

#: Nothing is sent for these, or it is being stopped: they do not follow a delivery, whoever made it.
NOT_SHIPPING = frozenset({S.CANCELLING, S.CANCELLED, S.REJECTED})

#: What an order is when its delivery is this.
STATUS_OF_DELIVERY = {
    "PENDING": S.PENDING_SHIPMENT,
    "IN_TRANSIT": S.IN_TRANSIT,
    "DELIVERED": S.DELIVERED,
    "FAILED": S.DELIVERY_FAILED,
}

#: What delivery is asked for when an operator wants an order to be this.
DELIVERY_OF_STATUS = {S.IN_TRANSIT: "IN_TRANSIT", S.DELIVERED: "DELIVERED", S.DELIVERY_FAILED: "FAILED"}


#: Why an order is what it is, for people, where nothing more is known of it than the code.
SENTENCES = {
    "cancelled_by_request": "The customer cancelled it",
    "cancelled_by_operator": "An operator gave it up",
}


def reason_detail(reason: str | None, noted: str | None) -> str | None:
    """The sentence that goes with an order's reason, given what was noted about it."""
    if reason is None:
        return None
    begin = SENTENCES.get(reason)
    if begin is None:  # what refused an order has said why
        return noted if noted and noted != reason else f"{reason.replace('_', ' ').capitalize()}."
    return f"{begin}: {noted}" if noted else f"{begin}."


def requestable(current: OrderStatus) -> list[OrderStatus]:
    """What a request may ask an order to become that is ``current``: cancelled, or where its parcel is to be."""
    if current == S.CANCELLING:
        return []
    moves = MOVES[current]
    return [S.CANCELLED] * (S.CANCELLING in moves) + [each for each in moves if each in DELIVERY_OF_STATUS]


def check_request(current: OrderStatus, wanted: OrderStatus) -> None:
    """Refuse a request that the table does not allow. Raises IllegalTransition, with what may be asked for."""
    allowed = requestable(current)
    if wanted not in allowed:
        raise IllegalTransition(current, wanted, allowed)
