"""What delivery does: dispatch an order, cancel that, follow the operator (``delivery.scans`` follows the couriers).

The four steps take a bundle, need the same few statements for one order as for sixty-four, and answer in the order of
the bundle. Several messages of one order are applied in turn to its locked row. Nothing here commits.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from delivery import queries
from delivery.errors import DeliveryCancelled, DeliveryExists, IllegalTransition
from delivery.messages import Answer, CancelDelivery, CreateDelivery, Dispatched, Order, ReportStatus, UpdateDelivery
from delivery.models import Delivery, insert_deliveries, lock_orders, save
from delivery.status import CANCELLED, DELIVERED, FAILED, IN_TRANSIT, MOVES, DeliveryStatus

#: Why a parcel was not kept here: by where it was, or had been when this cancel was first answered.
_TOO_LATE = {
    IN_TRANSIT: ("already_in_transit", "The parcel is on its way."),
    DELIVERED: ("already_delivered", "The parcel has been delivered."),
    FAILED: ("already_refused", "This cancel was refused when the parcel was on its way; its delivery failed since."),
}

AnOrder = TypeVar("AnOrder", bound=Order)


def create_delivery(session: Session, orders: Sequence[CreateDelivery]) -> list[Answer]:
    """Dispatch these orders. A delivery that is there already is taken as it is; a cancelled one stays cancelled."""
    addresses: dict[UUID, str | None] = {}
    for each in _unrefused(orders):
        addresses.setdefault(each.order_id, each.address)
    made = insert_deliveries(session, addresses)
    found = {**made, **queries.states_of_orders(session, addresses.keys() - made.keys())}

    def decide(order: CreateDelivery) -> Answer:
        stands = found[order.order_id]  # every order has a row by now, or this is a bug that must not pass silently
        if stands.status == CANCELLED:
            return _answer(order, stands, "cancelled", "The order was cancelled.", kind=Dispatched)
        return _answer(order, stands, kind=Dispatched)

    return _in_turn(orders, decide)


def cancel_delivery(session: Session, orders: Sequence[CancelDelivery]) -> list[Answer]:
    """Keep these orders' parcels here, if they have not left; what was never created gets a tombstone instead."""
    wanted = {each.order_id for each in _unrefused(orders)}
    insert_deliveries(session, dict.fromkeys(wanted))
    held = lock_orders(session, wanted)
    answers = _in_turn(orders, lambda order: _cancel(order, held[order.order_id]))
    save(session, held.values())
    return answers


def _cancel(order: CancelDelivery, delivery: Delivery) -> Answer:
    """A number that was seen before, or a higher one was, changes nothing: the row says how it was answered."""
    if order.no > delivery.cancel_no:
        delivery.cancel_no = order.no
        if CANCELLED in MOVES[delivery.status]:
            delivery.move(CANCELLED, notes="the order was cancelled")
    if delivery.status == CANCELLED:
        return _answer(order, delivery)
    return _answer(order, delivery, *_TOO_LATE[delivery.status])


def update_delivery(session: Session, orders: Sequence[UpdateDelivery]) -> list[Answer]:
    """An operator moves these deliveries on, each as it was at the version the operator saw."""
    held = lock_orders(session, {each.order_id for each in _unrefused(orders)})
    answers = _in_turn(orders, lambda order: _update(order, held.get(order.order_id)))
    save(session, held.values())
    return answers


def _update(order: UpdateDelivery, delivery: Delivery | None) -> Answer:
    """The copy of a move finds its own version and gets the same answer, as does who asks for what is so already."""
    if delivery is None:
        return _no_delivery(order)
    to = DeliveryStatus(order.to_status)
    if delivery.status == to and delivery.version in (order.expected_version, order.expected_version + 1):
        return _answer(order, delivery)
    if delivery.version != order.expected_version:
        detail = f"The delivery is at version {delivery.version} by now, not {order.expected_version}."
        return _answer(order, delivery, "version_mismatch", detail)
    try:
        delivery.move(to, notes=order.notes)
    except IllegalTransition as refusal:
        return _answer(order, delivery, "illegal_move", refusal.detail)
    return _answer(order, delivery)


def report_status(session: Session, orders: Sequence[ReportStatus]) -> list[Answer]:
    """How do these orders' deliveries stand?"""
    found = queries.states_of_orders(session, {each.order_id for each in _unrefused(orders)})

    def report(order: ReportStatus) -> Answer:
        return _answer(order, found[order.order_id]) if order.order_id in found else _no_delivery(order)

    return _in_turn(orders, report)


def open_delivery(session: Session, order_id: UUID, address: str) -> UUID:
    """Dispatch an order by hand; returns the delivery's public id. Raises DeliveryExists, DeliveryCancelled."""
    made = insert_deliveries(session, {order_id: address})
    if made:
        return UUID(str(made[order_id].public_id))
    found = queries.states_of_orders(session, [order_id])[order_id]
    there = str(found.public_id)
    if found.status == CANCELLED:
        raise DeliveryCancelled(f"Order {order_id} was cancelled; nothing is sent for it.", delivery_id=there)
    raise DeliveryExists(f"Order {order_id} has delivery {there} already.", delivery_id=there)


def restore_delivery(
    session: Session,
    order_id: UUID,
    address: str,
    status: DeliveryStatus,
    version: int,
    *,
    cancel_no: int,
    notes: str,
    at: datetime | None = None,
) -> None:
    """Bring an order's delivery up to what it was known to be before a backup of an earlier moment took its place.

    ``status`` and ``version`` were told by this service once, and ``cancel_no`` was answered by it: so nothing is
    invented, only its log entries are lost. A delivery that is at this version or a later one stays as it is. ``at`` is
    when it was so: couriers may send the scans again that are lost.
    """
    never_created = status == CANCELLED and version == 1
    insert_deliveries(session, {order_id: None if never_created else address})
    delivery = lock_orders(session, [order_id])[order_id]
    delivery.catch_up(status, version, cancel_no, notes, at)
    save(session, [delivery])


def _unrefused(orders: Iterable[AnOrder]) -> list[AnOrder]:
    return [each for each in orders if each.outcome == "ok"]


def _in_turn(orders: Iterable[AnOrder], decide: Callable[[AnOrder], Answer]) -> list[Answer]:
    """One answer an order; who was refused before came for nothing and goes on as it is."""
    return [decide(each) if each.outcome == "ok" else _passed_on(each) for each in orders]


def _passed_on(order: Order) -> Answer:
    return Answer(order_id=order.order_id, outcome=order.outcome, reason=order.reason, detail=order.detail)


def _no_delivery(order: Order) -> Answer:
    return Answer(order_id=order.order_id, outcome="refused", reason="no_delivery", detail="The order has no delivery.")


def _answer(
    order: Order,
    delivery: Delivery | Row[*tuple[Any, ...]],
    reason: str | None = None,
    detail: str | None = None,
    kind: type[Answer] = Answer,
) -> Answer:
    """How the delivery stands now; refused where there is a reason."""
    return kind(
        order_id=order.order_id,
        outcome="refused" if reason else "ok",
        reason=reason,
        detail=detail,
        delivery_status=str(delivery.status),
        delivery_version=delivery.version,
    )
