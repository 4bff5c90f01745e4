"""What has happened to an order (``order_events``) and what is under way for it (``order_sagas``).

An event is one row however often its message is sent: unique by order, kind and number. A saga row is the second line
behind the messages: it has a deadline while a chain is under way, and none once the chain has ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.cache import Cache
from chassis.database import after_commit
from chassis.settings import settings
from sales.models import order_events, order_sagas

#: Seconds between two tries to move an order on double up to this.
LONGEST_PAUSE = 600.0


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an order's timeline. ``number`` and ``kind`` tell it from the order's other events."""

    order_id: UUID
    kind: str
    number: int
    actor: str
    from_status: str | None = None
    to_status: str | None = None
    reason: str | None = None
    correlation_id: str | None = None


def add_events(session: Session, events: Iterable[Event]) -> None:
    """Put these on record; those that are there already stay as they are."""
    rows = [asdict(each) for each in events]
    if rows:
        session.execute(insert(order_events).on_conflict_do_nothing(), rows)


def open_saga(session: Session, order_id: UUID, kind: str, no: int, correlation_id: str | None, outbox_id: int) -> None:
    """A chain of this order is under way; the row of an earlier chain makes room for it."""
    started = {
        "kind": kind,
        "no": no,
        "correlation_id": correlation_id,
        "outbox_id": outbox_id,
        "attempts": 0,
        "sends": 0,
        "started_at": func.now(),
        "sent_at": func.now(),
        "deadline": _deadline(0),
        "closed_at": None,
        "reached_end": False,
        "last_error": None,
    }
    statement = insert(order_sagas).values(order_id=order_id, **started)
    session.execute(statement.on_conflict_do_update(index_elements=["order_id"], set_=started))


def saga_sent_again(
    session: Session, order_id: UUID, outbox_id: int, *, attempts: int, sends: int, anew: bool = False
) -> None:
    """The chain that is under way was sent once more; the deadline doubles with every re-send before this one.

    ``attempts`` are the re-sends of a chain that was really lost, ``sends`` all of them. ``anew`` when nothing of what
    was sent before can arrive any more: where this copy gets to, all that was sent before it has got to.
    """
    again: dict[str, Any] = {"outbox_id": outbox_id, "attempts": attempts, "sends": sends, "last_error": None}
    if anew:
        again["started_at"] = func.now()
    session.execute(
        update(order_sagas)
        .where(order_sagas.c.order_id == order_id)
        .values(sent_at=func.now(), deadline=_deadline(sends), **again)
    )


_CLOSE_SAGAS = text(
    "UPDATE order_sagas SET deadline = NULL, closed_at = now(), reached_end = :at_last_step, attempts = 0, sends = 0,"
    " last_error = NULL WHERE order_id = ANY(CAST(:ids AS uuid[])) AND deadline IS NOT NULL"
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
    """The order's saga row, locked; lock the order first. None where there is none."""
    return session.execute(
        select(order_sagas).where(order_sagas.c.order_id == order_id).with_for_update()
    ).one_or_none()


def last_number(session: Session, order_id: UUID, kind: str) -> int:
    """The highest number that an event of this kind has for this order; 0 where there is none."""
    found = session.execute(
        text("SELECT coalesce(max(number), 0) FROM order_events WHERE order_id = :order_id AND kind = :kind"),
        {"order_id": order_id, "kind": kind},
    )
    return int(found.scalar_one())


def _deadline(sends: int) -> Any:
    # No float holds 2 to the power of a number without bounds.
    pause = min(settings().saga_deadline * 2 ** min(sends, 20), LONGEST_PAUSE)
    return func.now() + timedelta(seconds=pause)
