"""An order follows its chain's end and its delivery.

Takes a session, never commits; answers for each order of the bundle, in their order.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from sales.attention import scanned_unseen
from sales.messages import StatusUpdate, Updated
from sales.models import lock_orders, order_sagas, put_before_people
from sales.status import ENDED, NOT_SHIPPING, STATUS_OF_DELIVERY, OrderStatus
from sales.timeline import Event, Kind, add_events, announce, close_sagas

S = OrderStatus


def update_order_statuses(session: Session, updates: Sequence[StatusUpdate]) -> list[Updated]:
    """The orders follow: their chain has ended, or their delivery has moved.

    A delivery's version counts its moves: a higher one sets the order's status, even over skipped statuses; a lower or
    equal one is ignored. While an order is Cancelling only the newest pair is kept; the cancel's end settles it.
    A delivery that somebody made by hand for an order that was rejected moves nothing here. A scan of a parcel that is
    cancelled puts its order before people, at the cancel's end where that is under way. Raises LookupError for an order
    that does not exist: a message about nobody is for people to look at.
    """
    ids = [each.order_id for each in updates]
    known = {order_id: _Following(row) for order_id, row in lock_orders(session, ids).items()}
    numbers = _saga_numbers(session, [each.order_id for each in updates if each.kind == "cancel"])
    for message in updates:
        if message.kind != "scan":
            known[message.order_id].follow(message, numbers.get(message.order_id, ("", 0)))
    changed = [each for each in known.values() if each.changed]
    _write_statuses(session, changed)
    add_events(session, [event for each in known.values() for event in each.events])
    close_sagas(session, [each.row.id for each in changed if each.status in ENDED], at_last_step=True)
    _flag_scanned(session, known, [each for each in updates if each.kind == "scan"])
    news = {each.row.id: each.status for each in known.values() if each.awaited and each.status in ENDED}
    announce(session, news)
    return [Updated(order_id=order_id) for order_id in ids]


@dataclass
class _Following:
    """An order while the messages of a bundle are applied to it, one after the other."""

    row: Row[Any]
    events: list[Event] = field(default_factory=list)
    changed: bool = False
    #: Whether its cancel has ended, as it was asked for.
    cancelled: bool = False
    #: Whether somebody may wait to hear of this: a change, or how a move went that was asked for.
    awaited: bool = False

    def __post_init__(self) -> None:
        self.status = S(self.row.status)
        self.reason: str | None = self.row.reason
        self.delivery_status: str | None = self.row.delivery_status
        self.delivery_version: int = self.row.delivery_version

    def follow(self, message: StatusUpdate, saga: tuple[str, int]) -> None:
        """Apply one message; ``saga`` is the kind and number of the chain that is, or was last, under way."""
        newer = self._keep_newest_pair(message)
        if message.kind == "cancel" and self.status == S.CANCELLING and saga == ("cancel", message.no):
            self._end_cancel(message)
        elif message.kind == "place" and message.outcome == "refused" and self.status == S.PENDING:
            self.reason = message.reason
            self._become(S.REJECTED, Kind.REJECTED, 0, message, "inventory")
        elif newer:
            self._follow_delivery(message)
        if message.kind == "move":
            self.awaited = True
            if message.outcome == "refused":
                self._note(Kind.MOVE_REFUSED, message.no, message, self.status, "delivery")

    def _keep_newest_pair(self, message: StatusUpdate) -> bool:
        """Whether the message knows something newer of the delivery than the order did."""
        if message.delivery_version is None or message.delivery_version <= self.delivery_version:
            return False
        self.delivery_status, self.delivery_version = message.delivery_status, message.delivery_version
        self.changed = self.awaited = True
        return True

    def _follow_delivery(self, message: StatusUpdate) -> None:
        becomes = self.status
        if self.status not in NOT_SHIPPING:
            becomes = STATUS_OF_DELIVERY.get(self.delivery_status or "", self.status)
        self._become(becomes, Kind.DELIVERY, self.delivery_version, message, message.actor or "delivery")

    def _end_cancel(self, message: StatusUpdate) -> None:
        if message.outcome == "ok":
            self._become(S.CANCELLED, Kind.CANCELLED, message.no, message, "delivery")
            self.cancelled = True
            return
        self.reason = None
        # A cancel is refused because there is a parcel that has left: the refusal, or news before it, says where it is.
        becomes = STATUS_OF_DELIVERY[str(self.delivery_status)]
        self._become(becomes, Kind.CANCEL_REFUSED, message.no, message, "delivery")

    def _become(self, status: OrderStatus, kind: Kind, number: int, message: StatusUpdate, actor: str) -> None:
        self._note(kind, number, message, status, actor)
        self.status, self.changed, self.awaited = status, True, True

    def _note(self, kind: Kind, number: int, message: StatusUpdate, to: OrderStatus, actor: str) -> None:
        reason = message.detail or message.reason
        if kind == Kind.DELIVERY and to == self.status:
            reason = f"the delivery is {self.delivery_status}"
        event = Event(self.row.id, kind, number, actor, self.status, to, reason, message.correlation_id, message.reason)
        self.events.append(event)


def _flag_scanned(session: Session, known: Mapping[UUID, _Following], scans: Sequence[StatusUpdate]) -> None:
    """Somebody has to look at orders whose parcels were scanned though they are cancelled.

    A flag on an order that is being cancelled would keep the sweeper from its chain, and be cleared by its end. So that
    end flags it, unless somebody has seen to it by then.
    """
    noted = add_events(session, [_scan_event(known[each.order_id], each) for each in scans])
    seen = [order_id for order_id, each in known.items() if each.cancelled]
    for order_id in {*noted, *scanned_unseen(session, seen)}:
        if known[order_id].status in ENDED:
            put_before_people(session, order_id)


def _scan_event(order: _Following, scan: StatusUpdate) -> Event:
    number = zlib.crc32(str(scan.no).encode()) & 0x7FFFFFFF
    status, said = order.status, scan.detail
    return Event(order.row.id, Kind.SCANNED, number, "courier", status, status, said, scan.correlation_id)


def _saga_numbers(session: Session, order_ids: list[UUID]) -> dict[UUID, tuple[str, int]]:
    """Which chain is under way for each of these, whose orders are locked: nobody else writes their saga rows then."""
    if not order_ids:
        return {}
    columns = (order_sagas.c.order_id, order_sagas.c.kind, order_sagas.c.no)
    found = session.execute(select(*columns).where(order_sagas.c.order_id.in_(order_ids)))
    return {row.order_id: (row.kind, row.no) for row in found}


# Arrays and no recordset: of an array the planner knows how many rows it makes, and looks that many orders up.
_WRITE_STATUSES = text(
    "UPDATE orders SET status = v.status, reason = v.reason, delivery_status = v.delivery_status,"
    " delivery_version = v.delivery_version, version = version + 1, updated_at = now(),"
    " needs_attention = needs_attention AND v.status IN ('Pending', 'Cancelling')"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]),"
    " CAST(:delivery_statuses AS text[]), CAST(:delivery_versions AS int[]))"
    " AS v (id, status, reason, delivery_status, delivery_version) WHERE orders.id = v.id"
)


def _write_statuses(session: Session, changed: list[_Following]) -> None:
    if not changed:
        return
    session.execute(
        _WRITE_STATUSES,
        {
            "ids": [each.row.id for each in changed],
            "statuses": [each.status.value for each in changed],
            "reasons": [each.reason for each in changed],
            "delivery_statuses": [each.delivery_status for each in changed],
            "delivery_versions": [each.delivery_version for each in changed],
        },
    )
