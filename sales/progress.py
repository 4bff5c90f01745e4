"""What messages do to orders: the catalogue has answered, a delivery has moved, a message could not be worked on.

Takes a session, never commits. Each function gets the orders of a bundle and answers for each of them, in their order.
Orders are locked by id before anything is decided, so two workers never wait for each other in a ring.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sales.messages import CatalogueEntry, Fault, FaultRecorded, InventoryResponse, Recorded, StatusUpdate, Updated
from sales.models import order_items, order_sagas, orders, quarantine
from sales.status import ENDED, STATUS_OF_DELIVERY, OrderStatus
from sales.timeline import Event, add_events, announce, close_sagas

S = OrderStatus


def record_inventory_responses(session: Session, responses: Sequence[InventoryResponse]) -> list[Recorded]:
    """Fix the prices and the total of these orders, or reject them. The first response of an order wins.

    An order that is no longer Pending goes no further: somebody cancelled it, or another copy was faster.
    """
    known = _lock_orders(session, [each.order_id for each in responses])
    lines = _lines_of(session, list(known))
    pricing, rejected, answers = _Pricing(), dict[UUID, InventoryResponse](), []
    for response in responses:
        order = known[response.order_id]
        if order.status != S.PENDING or response.order_id in rejected:
            answers.append(Recorded(order_id=order.id, ended=True, outcome="refused", reason="no_longer_pending"))
        elif order.total_amount is not None or response.order_id in pricing.totals:
            answers.append(Recorded(order_id=order.id))
        else:
            refusal = _refusal(response, lines[order.id])
            if refusal is None:
                pricing.add(order.id, lines[order.id], response.catalogue)
                answers.append(Recorded(order_id=order.id))
            else:
                rejected[order.id] = refusal
                answers.append(Recorded(order_id=order.id, ended=True, outcome="refused", reason=refusal.reason))
    _write_prices(session, pricing)
    _reject(session, list(rejected.values()))
    return answers


def update_order_statuses(session: Session, updates: Sequence[StatusUpdate]) -> list[Updated]:
    """The orders follow: their chain has ended, or their delivery has moved.

    A delivery's version counts its moves: a higher one sets the order's status, even over skipped statuses; a lower or
    equal one is ignored. While an order is Cancelling only the newest pair is kept; the cancel's end settles it.
    """
    ids = [each.order_id for each in updates]
    known = {order_id: _Following(row) for order_id, row in _lock_orders(session, ids).items()}
    numbers = _saga_numbers(session, list(known))
    for message in updates:
        known[message.order_id].follow(message, numbers.get(message.order_id, ("", 0)))
    changed = [each for each in known.values() if each.changed]
    _write_statuses(session, changed)
    add_events(session, [event for each in known.values() for event in each.events])
    ended = [each for each in changed if each.status in ENDED]
    close_sagas(session, [each.row.id for each in ended])
    announce(session, {each.row.id: each.status for each in ended})
    return [Updated(order_id=order_id) for order_id in ids]


def record_faults(session: Session, faults: Sequence[Fault]) -> list[FaultRecorded]:
    """Keep messages that could not be worked on where people can read them, and flag their orders."""
    for fault in faults:
        order_id = _readable_id(fault.order_id)
        known = _lock_orders(session, [order_id], missing_ok=True) if order_id else {}
        keep_in_quarantine(
            session,
            message_id=fault.message_id,
            order_id=order_id,
            queue=fault.queue,
            task=fault.task,
            body=fault.body,
            headers=fault.headers,
            reason=fault.reason,
            count=fault.count,
        )
        for row in known.values():
            flag(session, row, f"fault:{fault.message_id}", fault.reason, fault.correlation_id)
    return [FaultRecorded(order_id=each.order_id) for each in faults]


def keep_in_quarantine(session: Session, *, message_id: str, count: int = 1, **message: Any) -> None:
    """Put a message before people; one that comes again is counted and waits again."""
    statement = insert(quarantine).values(message_id=message_id, count=count, **message)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["message_id"],
            set_={
                "count": quarantine.c.count + statement.excluded.count,
                "reason": statement.excluded.reason,
                "last_seen": func.now(),
                "state": "waiting",
                "settled_by": None,
                "settled_at": None,
            },
        )
    )


def flag(session: Session, order: Row[Any], what: str, reason: str, correlation_id: str | None) -> None:
    """Somebody has to look at this order. ``what`` tells one cause from the next; the same one is noted once."""
    session.execute(
        update(orders)
        .where(orders.c.id == order.id)
        .values(needs_attention=True, version=orders.c.version + 1, updated_at=func.now())
    )
    session.execute(update(order_sagas).where(order_sagas.c.order_id == order.id).values(last_error=reason))
    number = zlib.crc32(what.encode()) & 0x7FFFFFFF
    noted = Event(order.id, "needs_attention", number, "conveyor", order.status, order.status, reason, correlation_id)
    add_events(session, [noted])


class _Pricing:
    """The prices and totals of the orders of a bundle, gathered to be written at once."""

    def __init__(self) -> None:
        self.totals: dict[UUID, Decimal] = {}
        self.items: list[tuple[int, str, Decimal]] = []

    def add(self, order_id: UUID, lines: list[Row[Any]], catalogue: list[CatalogueEntry]) -> None:
        entries = {each.product_id: each for each in catalogue}
        self.totals[order_id] = sum((entries[line.product_id].price * line.quantity for line in lines), Decimal(0))
        self.items += [(line.id, entries[line.product_id].name, entries[line.product_id].price) for line in lines]


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


def _lock_orders(session: Session, order_ids: Sequence[UUID], *, missing_ok: bool = False) -> dict[UUID, Row[Any]]:
    """The orders by id, locked in the order of their ids. Raises LookupError for one that does not exist."""
    rows = session.execute(
        select(orders).where(orders.c.id.in_(set(order_ids))).order_by(orders.c.id).with_for_update()
    ).all()
    found = {row.id: row for row in rows}
    missing = set(order_ids) - set(found)
    if missing and not missing_ok:
        raise LookupError(f"there is no order {min(missing)}")
    return found


def _lines_of(session: Session, order_ids: list[UUID]) -> dict[UUID, list[Row[Any]]]:
    lines: dict[UUID, list[Row[Any]]] = {order_id: [] for order_id in order_ids}
    for row in session.execute(select(order_items).where(order_items.c.order_id.in_(order_ids))):
        lines[row.order_id].append(row)
    return lines


def _refusal(response: InventoryResponse, lines: list[Row[Any]]) -> InventoryResponse | None:
    """Why the order cannot be, or None: what the check said, or a price that the customer did not see."""
    if response.outcome == "refused":
        return response
    entries = {each.product_id: each for each in response.catalogue}
    for line in lines:
        entry = entries[line.product_id]
        if line.price is not None and line.price != entry.price:
            detail = f"{entry.name} costs {entry.price}, not {line.price}"
            return InventoryResponse(
                order_id=response.order_id,
                correlation_id=response.correlation_id,
                outcome="refused",
                reason="price_changed",
                detail=detail,
            )
    return None


def _write_prices(session: Session, pricing: _Pricing) -> None:
    if not pricing.totals:
        return
    session.execute(
        text(
            "UPDATE order_items SET product_name = v.name, price = v.price"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[]), CAST(:prices AS numeric[]))"
            " AS v(id, name, price) WHERE order_items.id = v.id"
        ),
        {
            "ids": [item[0] for item in pricing.items],
            "names": [item[1] for item in pricing.items],
            "prices": [item[2] for item in pricing.items],
        },
    )
    session.execute(
        text(
            "UPDATE orders SET total_amount = v.total, version = version + 1, updated_at = now()"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:totals AS numeric[])) AS v(id, total) WHERE orders.id = v.id"
        ),
        {"ids": [str(each) for each in pricing.totals], "totals": list(pricing.totals.values())},
    )
    add_events(
        session,
        [
            Event(order_id, "priced", 0, "inventory", S.PENDING, S.PENDING, f"total {total}")
            for order_id, total in pricing.totals.items()
        ],
    )


def _reject(session: Session, refusals: list[InventoryResponse]) -> None:
    if not refusals:
        return
    session.execute(
        text(
            "UPDATE orders SET status = 'Rejected', reason = v.reason, version = version + 1, updated_at = now(),"
            " needs_attention = false"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS v(id, reason) WHERE orders.id = v.id"
        ),
        {"ids": [str(each.order_id) for each in refusals], "reasons": [each.reason for each in refusals]},
    )
    add_events(
        session,
        [
            Event(
                each.order_id,
                "rejected",
                0,
                "inventory",
                S.PENDING,
                S.REJECTED,
                each.detail or each.reason,
                each.correlation_id,
            )
            for each in refusals
        ],
    )
    ids = [each.order_id for each in refusals]
    close_sagas(session, ids)
    announce(session, dict.fromkeys(ids, S.REJECTED))


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


def _readable_id(order_id: str | None) -> UUID | None:
    try:
        return UUID(order_id) if order_id else None
    except ValueError:
        return None
