"""Sending an order's chain: for the first time, once more when its messages are lost, anew when its saga row is.

Takes a session, never commits; lock the order first. The chains themselves are in ``sales.saga``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from chassis.outbox import enqueue, outbox
from sales import saga
from sales.models import order_items
from sales.status import OrderStatus
from sales.timeline import Kind, last_number, open_sagas, saga_of, saga_sent_again

S = OrderStatus


@dataclass(frozen=True, slots=True)
class Beginning:
    """An order whose chain begins: its row, its lines, and the id that joins its logs."""

    order: Row[Any]
    items: Sequence[Mapping[str, Any]]
    correlation_id: str | None


def send_place(session: Session, beginnings: Sequence[Beginning]) -> None:
    """Begin the chains that settle these orders, with one message for all of them."""
    bundle = [_place_message(each.order, each.items, each.correlation_id) for each in beginnings]
    sent = enqueue(session, saga.place(*bundle).tasks)
    open_sagas(session, {each.order.id: each.correlation_id for each in beginnings}, "place", 0, sent)


def send_cancel(session: Session, order_id: UUID, no: int, correlation_id: str) -> None:
    """Begin the chain that cancels an order, for the ``no``-th time of asking."""
    sent = enqueue(session, saga.cancel(saga.message(order_id, "cancel", no, correlation_id)).tasks)
    open_sagas(session, {order_id: correlation_id}, "cancel", no, sent)


def resend(
    session: Session, order: Row[Any], under_way: Row[Any], *, attempts: int = 0, sends: int = 0, anew: bool = False
) -> None:
    """Send the chain that is under way for an order once more, under its own kind and number.

    Lock the order first. ``attempts`` and ``sends`` are the counts from now on; left out, the count begins anew.
    ``anew`` when its earlier messages are known to be lost, so that the chain begins with this one.
    """
    if under_way.kind == "cancel":
        workflow = saga.cancel(saga.message(order.id, "cancel", under_way.no, under_way.correlation_id))
    else:
        workflow = saga.place(_place_message(order, _items_of(session, order), under_way.correlation_id))
    sent = enqueue(session, workflow.tasks)
    saga_sent_again(session, order.id, sent, attempts=attempts, sends=sends, anew=anew)


def push(session: Session, order: Row[Any], correlation_id: str) -> None:
    """See to it that the chain of a Pending or Cancelling order is under way; what still waits to be sent is enough."""
    under_way = saga_of(session, order.id)
    if under_way is None or under_way.deadline is None:
        restart(session, order, correlation_id)
    elif session.execute(select(outbox.c.id).where(outbox.c.id == under_way.outbox_id)).first() is None:
        resend(session, order, under_way)


def restart(session: Session, order: Row[Any], correlation_id: str) -> None:
    """Begin the chain of a Pending or Cancelling order anew whose saga row is missing or closed. Lock the order first.

    Every step answers from what it has stored, so a chain that is under way all the same does no harm.
    """
    if order.status == S.CANCELLING:
        # A number that no cancel of this order has had: delivery answers it by where the parcel is now.
        asked = [last_number(session, order.id, each) for each in (Kind.CANCEL_REQUESTED, Kind.COMPENSATE_REQUESTED)]
        send_cancel(session, order.id, sum(asked) + 1, correlation_id)
    else:
        send_place(session, [Beginning(order, _items_of(session, order), correlation_id)])


def _items_of(session: Session, order: Row[Any]) -> list[dict[str, Any]]:
    items = session.execute(select(order_items).where(order_items.c.order_id == order.id))
    return [dict(each._mapping) for each in items]


def _place_message(order: Row[Any], items: Sequence[Mapping[str, Any]], correlation_id: str | None) -> saga.Order:
    lines = [{"product_id": str(each["product_id"]), "quantity": each["quantity"]} for each in items]
    return saga.message(order.id, "place", 0, correlation_id, address=order.delivery_address, lines=lines)
