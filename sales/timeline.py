"""What has happened to an order (``order_events``) and what is under way for it (``order_sagas``).

An event is one row however often its message is sent: unique by order, kind and number. A saga row is the second line
behind the messages: it has a deadline while a chain is under way, and none once the chain has ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from chassis.cache import Cache
from chassis.database import after_commit, recordset
from chassis.settings import settings
from sales.models import order_sagas

#: Seconds between two tries to move an order on double up to this.
LONGEST_PAUSE = 600.0


class Kind(StrEnum):
    """What happens to an order: the one name of each kind of event, stored and shown."""

    PLACED = "placed"
    PRICED = "priced"
    REJECTED = "rejected"
    DELIVERY = "delivery"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    CANCEL_REFUSED = "cancel_refused"
    MOVE_REQUESTED = "move_requested"
    MOVE_REFUSED = "move_refused"
    NEEDS_ATTENTION = "needs_attention"
    REPLAYED = "replayed"
    RESUMED = "resumed"
    COMPENSATE_REQUESTED = "compensate_requested"
    SCANNED = "scanned"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an order's timeline. ``number`` and ``kind`` tell it from the order's other events.

    ``reason`` is a sentence for people, and ``code`` the same for programs, where there is a choice of reasons.
    """

    order_id: UUID
    kind: Kind
    number: int
    actor: str
    from_status: str | None = None
    to_status: str | None = None
    reason: str | None = None
    correlation_id: str | None = None
    code: str | None = None


_ADD_EVENTS = text(
    "INSERT INTO order_events (order_id, kind, number, actor, from_status, to_status, reason, correlation_id, code)"
    " SELECT * FROM json_to_recordset(:events) AS event (order_id uuid, kind text, number int, actor text,"
    " from_status text, to_status text, reason text, correlation_id text, code text) ON CONFLICT DO NOTHING"
    " RETURNING order_id"
)


def add_events(session: Session, events: Iterable[Event]) -> set[UUID]:
    """Put these on record; those that are there already stay as they are. Returns the orders of those that were not."""
    rows = list(events)
    return set(session.execute(_ADD_EVENTS, {"events": recordset(rows)}).scalars()) if rows else set()


_OPEN_SAGAS = text(
    "INSERT INTO order_sagas (order_id, kind, no, correlation_id, outbox_id, deadline)"
    " SELECT order_id, :kind, :no, correlation_id, :outbox_id, now() + make_interval(secs => :pause)"
    " FROM json_to_recordset(:orders) AS begun (order_id uuid, correlation_id text)"
    " ON CONFLICT (order_id) DO UPDATE SET kind = excluded.kind, no = excluded.no,"
    " correlation_id = excluded.correlation_id, outbox_id = excluded.outbox_id, deadline = excluded.deadline,"
    " attempts = 0, sends = 0, started_at = now(), sent_at = now(), closed_at = NULL, reached_end = false"
)


def open_sagas(session: Session, orders: Mapping[UUID, str | None], kind: str, no: int, outbox_id: int) -> None:
    """A chain of these orders is under way; the row of an earlier chain makes room for it.

    ``orders`` are correlation ids by order; ``outbox_id`` is the row of the outbox with their message.
    """
    begun = [{"order_id": order_id, "correlation_id": each} for order_id, each in orders.items()]
    facts = {"kind": kind, "no": no, "outbox_id": outbox_id, "pause": _pause(0)}
    session.execute(_OPEN_SAGAS, {"orders": recordset(begun), **facts})


def saga_sent_again(
    session: Session, order_id: UUID, outbox_id: int, *, attempts: int, sends: int, anew: bool = False
) -> None:
    """The chain that is under way was sent once more; the deadline doubles with every re-send before this one.

    ``attempts`` are the re-sends of a chain that was really lost, ``sends`` all of them. ``anew`` when nothing of what
    was sent before can arrive any more: where this copy gets to, all that was sent before it has got to.
    """
    again: dict[str, Any] = {"outbox_id": outbox_id, "attempts": attempts, "sends": sends}
    if anew:
        again["started_at"] = func.now()
    session.execute(
        update(order_sagas)
        .where(order_sagas.c.order_id == order_id)
        .values(sent_at=func.now(), deadline=func.now() + timedelta(seconds=_pause(sends)), **again)
    )


_CLOSE_SAGAS = text(
    "UPDATE order_sagas SET deadline = NULL, closed_at = now(), reached_end = :at_last_step, attempts = 0, sends = 0"
    " WHERE order_id = ANY(CAST(:ids AS uuid[])) AND deadline IS NOT NULL"
)


def close_sagas(session: Session, order_ids: Sequence[UUID], *, at_last_step: bool) -> None:
    """Nothing is under way for these orders any more, whatever ended it.

    ``at_last_step`` is evidence for the sweeper: a chain that was sent earlier and has not got there is lost.
    """
    if order_ids:
        session.execute(_CLOSE_SAGAS, {"ids": list(order_ids), "at_last_step": at_last_step})


def announce(session: Session, statuses: Mapping[UUID, str]) -> None:
    """Tell whoever waits for these orders what has become of them, once that is committed."""
    cache: Cache | None = session.info.get("cache")
    if cache is not None and statuses:
        after_commit(session, lambda: cache.announce({str(order_id): each for order_id, each in statuses.items()}))


def saga_of(session: Session, order_id: UUID) -> Any:
    """The order's saga row. Lock the order first: nobody writes the row without. None where there is none."""
    return session.execute(select(order_sagas).where(order_sagas.c.order_id == order_id)).one_or_none()


def last_number(session: Session, order_id: UUID, kind: Kind) -> int:
    """The highest number that an event of this kind has for this order; 0 where there is none."""
    found = session.execute(
        text("SELECT coalesce(max(number), 0) FROM order_events WHERE order_id = :order_id AND kind = :kind"),
        {"order_id": order_id, "kind": kind},
    )
    return int(found.scalar_one())


def _pause(sends: int) -> float:
    """Seconds until the sweeper looks at a chain that was sent again this often."""
    # No float holds 2 to the power of a number without bounds.
    return float(min(settings().saga_deadline * 2 ** min(sends, 20), LONGEST_PAUSE))
