"""What could not be worked on is kept where people can read it, and its order is flagged.

Takes a session, never commits; answers for each order of the bundle, in their order.
"""

import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sales.messages import Fault, FaultRecorded
from sales.models import lock_orders, order_sagas, orders, quarantine
from sales.timeline import Event, add_events


def record_faults(session: Session, faults: Sequence[Fault]) -> list[FaultRecorded]:
    """Keep messages that could not be worked on where people can read them, and flag their orders."""
    for fault in faults:
        order_id = _readable_id(fault.order_id)
        known = lock_orders(session, [order_id], missing_ok=True) if order_id else {}
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


def _readable_id(order_id: str | None) -> UUID | None:
    try:
        return UUID(order_id) if order_id else None
    except ValueError:
        return None
