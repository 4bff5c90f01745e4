"""An order follows its chain's end and its delivery.

Takes a session, never commits; answers for each order of the bundle, in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from sales.messages import StatusUpdate, Updated
from sales.models import lock_orders, order_sagas
from sales.status import ENDED, STATUS_OF_DELIVERY, OrderStatus
from sales.timeline import Event, add_events, announce, close_sagas

S = OrderStatus


def update_order_statuses(session: Session, updates: Sequence[StatusUpdate]) -> list[Updated]:
    """The orders follow: their chain has ended, or their delivery has moved.

    A delivery's version counts its moves: a higher one sets the order's status, even over skipped statuses; a lower or
    equal one is ignored. While an order is Cancelling only the newest pair is kept; the cancel's end settles it.
    """
    ids = [each.order_id for each in updates]
    known = {order_id: _Following(row) for order_id, row in lock_orders(session, ids).items()}
    numbers = _saga_numbers(session, list(known))
    for message in updates:
        known[message.order_id].follow(message, numbers.get(message.order_id, ("", 0)))
    changed = [each for each in known.values() if each.changed]
    _write_statuses(session, changed)
    add_events(session, [event for each in known.values() for event in each.events])
    ended = [each for each in changed if each.status in ENDED]
    close_sagas(session, [each.row.id for each in ended], at_last_step=True)
    announce(session, {each.row.id: each.status for each in ended})
    return [Updated(order_id=order_id) for order_id in ids]


@dataclass
class _Following:
    """An order while the messages of a bundle are applied to it, one after the other."""

    row: Row[Any]
    events: list[Event] = field(default_factory=list)
    changed: bool = False

    def __post_init__(self) -> None:
        self.status = S(self.row.status)
        self.reason: str | None = self.row.reason
        self.delivery_status: str | None = self.row.delivery_status
        self.delivery_version: int = self.row.delivery_version

    def follow(self, message: StatusUpdate, saga: tuple[str, int]) -> None:
        newer = message.delivery_version is not None and message.delivery_version > self.delivery_version
        if newer:
            self.changed = True
            self.delivery_status, self.delivery_version = message.delivery_status, int(message.delivery_version or 0)
        if self.status == S.CANCELLING:
            if message.kind == "cancel" and saga == ("cancel", message.no):
                self._end_cancel(message)
        elif message.kind == "place" and message.outcome == "refused":
            if self.status == S.PENDING:
                self.reason = message.reason
                self._become(S.REJECTED, "rejected", 0, message, "inventory")
        elif newer and message.delivery_status in STATUS_OF_DELIVERY:
            becomes = STATUS_OF_DELIVERY[message.delivery_status]
            self._become(becomes, "delivery", self.delivery_version, message, "delivery")
        if message.kind == "move" and message.outcome == "refused":
            self._note("move_refused", message.no, message, self.status, "delivery")

    def _end_cancel(self, message: StatusUpdate) -> None:
        if message.outcome == "ok":
            self._become(S.CANCELLED, "cancelled", message.no, message, "delivery")
            return
        self.reason = None
        becomes = STATUS_OF_DELIVERY.get(self.delivery_status or "", S.PENDING_SHIPMENT)
        self._become(becomes, "cancel_refused", message.no, message, "delivery")

    def _become(self, status: OrderStatus, kind: str, number: int, message: StatusUpdate, actor: str) -> None:
        self._note(kind, number, message, status, actor)
        self.status, self.changed = status, True

    def _note(self, kind: str, number: int, message: StatusUpdate, to: OrderStatus, actor: str) -> None:
        reason = message.detail or message.reason
        who = message.actor or actor
        self.events.append(Event(self.row.id, kind, number, who, self.status, to, reason, message.correlation_id))


def _saga_numbers(session: Session, order_ids: list[UUID]) -> dict[UUID, tuple[str, int]]:
    found = session.execute(
        select(order_sagas.c.order_id, order_sagas.c.kind, order_sagas.c.no)
        .where(order_sagas.c.order_id.in_(order_ids))
        .order_by(order_sagas.c.order_id)
        .with_for_update()
    )
    return {row.order_id: (row.kind, row.no) for row in found}


def _write_statuses(session: Session, changed: list[_Following]) -> None:
    if not changed:
        return
    session.execute(
        text(
            "UPDATE orders SET status = v.status, reason = v.reason, delivery_status = v.delivery_status,"
            " delivery_version = v.delivery_version, version = version + 1, updated_at = now(),"
            " needs_attention = needs_attention AND v.status IN ('Pending', 'Cancelling')"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]),"
            "  CAST(:delivery_statuses AS text[]), CAST(:delivery_versions AS int[]))"
            " AS v(id, status, reason, delivery_status, delivery_version) WHERE orders.id = v.id"
        ),
        {
            "ids": [str(each.row.id) for each in changed],
            "statuses": [each.status.value for each in changed],
            "reasons": [each.reason for each in changed],
            "delivery_statuses": [each.delivery_status for each in changed],
            "delivery_versions": [each.delivery_version for each in changed],
        },
    )
