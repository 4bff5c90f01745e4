"""What requests do to customers, and to orders that are there already (``sales.placing`` takes new ones).

Takes a session, never commits.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.idempotency import RequestKey, insert_once
from chassis.outbox import enqueue
from sales import chains, saga
from sales.errors import EmailTaken, NothingToResume, OrderNotFound
from sales.models import customers, folded, orders
from sales.queries import order_with_items
from sales.status import DELIVERY_OF_STATUS, ENDED, OrderStatus, check_request
from sales.timeline import Event, Kind, add_events, last_number, saga_of

S = OrderStatus


def register_customer(session: Session, details: Mapping[str, Any], key: RequestKey | None) -> tuple[Row[Any], bool]:
    """A new customer; or the one that this very request made before, and True.

    Raises IdempotencyKeyReused, EmailTaken.
    """
    customer, replayed = insert_once(session, customers, {"id": uuid7(), **details}, key)
    if not replayed:
        _own_email(session, customer)
    return customer, replayed


# Of two that come at the same moment the second waits for the first, on the primary key.
_OWN_EMAIL = text(
    "INSERT INTO customer_emails (email, customer_id) VALUES (:email, :id) ON CONFLICT DO NOTHING RETURNING customer_id"
)
# Whom the release before has registered since the table is there owns nothing.
_OTHER_WITH_EMAIL = text("SELECT FROM customers WHERE lower(email) = lower(:email) AND id <> :id LIMIT 1")


def _own_email(session: Session, customer: Row[Any]) -> None:
    """The address is this new customer's from now on. Raises EmailTaken."""
    owned = session.execute(_OWN_EMAIL, {"email": folded(customer.email), "id": customer.id}).first()
    there = session.execute(_OTHER_WITH_EMAIL, {"email": customer.email, "id": customer.id}).first()
    if owned is None or there is not None:
        raise EmailTaken(customer.email)


def hold_order(session: Session, order_id: UUID) -> Row[Any]:
    """Take this order in hand until the transaction ends. Raises OrderNotFound."""
    order = session.execute(select(orders).where(orders.c.id == order_id).with_for_update()).one_or_none()
    if order is None:
        raise OrderNotFound(order_id)
    return order


def request_cancel(
    session: Session, order_id: UUID, correlation_id: str, *, reason: str | None = None
) -> dict[str, Any]:
    """Cancel an order; one that is being cancelled already keeps the cancel that exists. Returns the order.

    ``reason`` is what the customer says; it is noted in the timeline. Raises OrderNotFound, IllegalTransition.
    """
    order = hold_order(session, order_id)
    if order.status not in (S.CANCELLING, S.CANCELLED):
        check_request(S(order.status), S.CANCELLED)
        no = _begin_cancel(session, order_id, "cancelled_by_request", correlation_id)
        add_events(
            session,
            [
                Event(
                    order_id, Kind.CANCEL_REQUESTED, no, "customer", order.status, S.CANCELLING, reason, correlation_id
                )
            ],
        )
    return order_with_items(session, order_id)


def request_move(
    session: Session, order_id: UUID, wanted: OrderStatus, correlation_id: str
) -> tuple[dict[str, Any], bool]:
    """Ask delivery to move the parcel, so that the order becomes ``wanted``: ``(order, whether anything was asked)``.

    An order whose parcel is there already stays as it is. Raises OrderNotFound, IllegalTransition.
    """
    order = hold_order(session, order_id)
    if order.status == wanted and wanted in DELIVERY_OF_STATUS:
        return order_with_items(session, order_id), False
    check_request(S(order.status), wanted)
    facts = {"to_status": DELIVERY_OF_STATUS[wanted], "expected_version": order.delivery_version, "actor": "operator"}
    # Each request counts as a change, so that its number is its own.
    _set(session, order_id)
    request = saga.message(order_id, "move", order.version, correlation_id, **facts)
    enqueue(session, saga.move(request).tasks)
    asked = Event(order_id, Kind.MOVE_REQUESTED, order.version, "operator", order.status, wanted, None, correlation_id)
    add_events(session, [asked])
    return order_with_items(session, order_id), True


def resume(session: Session, order_id: UUID, actor: str, reason: str | None = None) -> dict[str, Any]:
    """Clear an order's flag, and send its chain again where it has not ended.

    Raises OrderNotFound, and NothingToResume for an order that has ended and needs no attention.
    """
    order = hold_order(session, order_id)
    if order.status in ENDED and not order.needs_attention:
        raise NothingToResume(order_id, order.status)
    under_way = saga_of(session, order_id)
    if under_way is not None and under_way.deadline is not None:
        chains.resend(session, order, under_way)
    elif order.status not in ENDED:
        chains.restart(session, order, uuid7().hex)
    _set(session, order_id, needs_attention=False)
    number = last_number(session, order_id, Kind.RESUMED) + 1
    add_events(session, [Event(order_id, Kind.RESUMED, number, actor, order.status, order.status, reason)])
    return order_with_items(session, order_id)


def compensate(session: Session, order_id: UUID, actor: str, reason: str, correlation_id: str) -> dict[str, Any]:
    """Give an order up: whatever it hangs in, its cancel chain stops the parcel, gives the stock back and ends it.

    A cancel that hangs is sent again under its own number; an order that is Cancelled stays so. The flag is cleared.
    Returns the order. Raises OrderNotFound, and IllegalTransition where the parcel has left or nothing is left to undo.
    """
    order = hold_order(session, order_id)
    if order.status == S.CANCELLED and not order.needs_attention:
        return order_with_items(session, order_id)
    becomes = order.status
    if order.status == S.CANCELLING:
        chains.push(session, order, correlation_id)
    elif order.status != S.CANCELLED:
        check_request(S(order.status), S.CANCELLED)
        _begin_cancel(session, order_id, "cancelled_by_operator", correlation_id)
        becomes = S.CANCELLING
    _set(session, order_id, needs_attention=False)
    number = last_number(session, order_id, Kind.COMPENSATE_REQUESTED) + 1
    asked = Event(order_id, Kind.COMPENSATE_REQUESTED, number, actor, order.status, becomes, reason, correlation_id)
    add_events(session, [asked])
    return order_with_items(session, order_id)


def _begin_cancel(session: Session, order_id: UUID, reason: str, correlation_id: str) -> int:
    earlier = saga_of(session, order_id)
    no: int = earlier.no + 1 if earlier is not None else 1  # a chain that places an order has the number 0
    _set(session, order_id, status=S.CANCELLING, reason=reason)
    chains.send_cancel(session, order_id, no, correlation_id)
    return no


def _set(session: Session, order_id: UUID, **changes: Any) -> None:
    session.execute(
        update(orders)
        .where(orders.c.id == order_id)
        .values(version=orders.c.version + 1, updated_at=func.now(), **changes)
    )
