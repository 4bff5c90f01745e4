"""Orders that stopped moving are moved on: the second line behind the messages.

Takes a session, never commits; each function does at most 100 orders at a time. An outage brings no storm: as long as
nothing gets through, one order in five minutes is sent again, to find out whether anything does.
Any number of sweepers may work at once: what one has locked, the others leave alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import CursorResult, Row, Table, select, text
from sqlalchemy.orm import Session

from chassis.idempotency import forget_keys
from chassis.outbox import enqueue
from chassis.settings import settings
from sales import saga
from sales.attention import Cause
from sales.chains import resend
from sales.faults import flag
from sales.models import customers, orders

log = structlog.get_logger()

#: Orders that one round looks at, at most.
MOST = 100
#: A chain that was lost this often, and is lost again, is put before people.
TRIES = 10
#: Rows from the future that one round puts right, at most, for each table; and what is no future yet.
MOST_AHEAD, AHEAD = 1_000, timedelta(minutes=1)
#: Rows whose Idempotency-Key one round forgets, at most, for each table.
MOST_KEYS = 1_000

#: The tables whose rows are made by requests that may carry an Idempotency-Key.
KEYED: tuple[Table, ...] = (customers, orders)

# Past its deadline is not enough: it may be waiting in a queue, and sending it again would only make the queue longer.
# - lost: a chain of the same kind that was begun no earlier than this one was last sent has reached its last step, and
#   longer ago than a chain may take. Queues are first in, first out, so this one would have got there before it;
#   several workers on one queue overtake each other, but not for that long.
# - probe: nothing of this kind has got there for long, so that nobody can say which messages are lost. Then one order
#   is sent again, and no other for as long: if it gets through, whatever was sent before it is lost, and if it does
#   not, sending more would not help either. The one that was tried least, and of these the youngest, which says most.
# Each kind for itself: a lost cancel would otherwise wait for the next cancel as long as orders are placed.
# What ended in the future (somebody has set the clock back), or before it began, says nothing of either.
_PROGRESS = """
    progress AS MATERIALIZED (
        SELECT kind,
            (SELECT max(other.started_at) FROM order_sagas AS other
             WHERE other.kind = kinds.kind AND other.reached_end AND other.closed_at < now() - :overtaken_for
                AND other.started_at < now() - :overtaken_for AND other.started_at <= other.closed_at
            ) AS youngest,
            coalesce(greatest(
                (SELECT max(other.closed_at) FROM order_sagas AS other
                 WHERE other.kind = kinds.kind AND other.reached_end AND other.closed_at < now() + :ahead),
                (SELECT max(other.sent_at) FROM order_sagas AS other
                 WHERE other.kind = kinds.kind AND other.deadline IS NOT NULL AND other.sends > 0)
            ) < now() - :quiet_after, true) AS quiet
        FROM (VALUES ('place'), ('cancel')) AS kinds(kind)
    )
"""
_DUE = """
    SELECT order_sagas.*, coalesce(sent_at <= youngest, false) AS lost, quiet
    FROM order_sagas JOIN progress USING (kind)
    WHERE deadline < now() AND (sent_at <= youngest OR quiet)
        AND NOT EXISTS (SELECT FROM outbox WHERE outbox.id = order_sagas.outbox_id)
"""
_CANDIDATES = text(
    f"""
    WITH {_PROGRESS}, due AS (
        {_DUE} AND NOT EXISTS (SELECT FROM orders WHERE orders.id = order_id AND needs_attention)
    )
    (SELECT order_id FROM due WHERE lost ORDER BY deadline LIMIT :most)
    UNION
    (SELECT DISTINCT ON (kind) order_id FROM due WHERE quiet ORDER BY kind, sends, started_at DESC)
    """
)
_STILL_DUE = text(f"WITH {_PROGRESS} {_DUE} AND order_id = ANY(CAST(:ids AS uuid[]))")

# A chain under way that was sent in the future would not be late for as long as the clock was set back, and of a parcel
# that moved in the future nobody would ask. Both count as of now. Their row alone is locked, and never waited for.
_CHAINS_AHEAD = text(
    """
    UPDATE order_sagas SET started_at = least(started_at, now()), sent_at = now(), deadline = now() + :overtaken_for
    WHERE order_id IN (
        SELECT order_id FROM order_sagas WHERE deadline > now() + :overtaken_for + :ahead AND sent_at > now() + :ahead
        LIMIT :most FOR UPDATE SKIP LOCKED
    )
    """
)
_PARCELS_AHEAD = text(
    """
    UPDATE orders SET updated_at = least(updated_at, now()),
        delivery_asked_at = CASE WHEN delivery_asked_at < now() THEN delivery_asked_at END
    WHERE id IN (
        SELECT id FROM orders
        WHERE status IN ('Pending Shipment', 'In Transit') AND GREATEST(updated_at, delivery_asked_at) > now() + :ahead
        LIMIT :most FOR UPDATE SKIP LOCKED
    )
    """
)

_ASK = text(
    """
    WITH silent AS (
        SELECT id FROM orders
        WHERE status IN ('Pending Shipment', 'In Transit') AND GREATEST(updated_at, delivery_asked_at) < now() - :after
        ORDER BY GREATEST(updated_at, delivery_asked_at) LIMIT :most
    ), locked AS (
        SELECT id FROM orders
        WHERE id IN (SELECT id FROM silent) AND GREATEST(updated_at, delivery_asked_at) < now() - :after
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
    UPDATE orders SET delivery_asked_at = now() FROM locked WHERE orders.id = locked.id
    RETURNING orders.id, (SELECT correlation_id FROM order_sagas WHERE order_id = orders.id) AS correlation_id
    """
)


@dataclass(slots=True)
class Swept:
    """What a round has done: how many chains were sent again, how many of those were lost, how many orders flagged."""

    resent: int = 0
    lost: int = 0
    flagged: int = 0


def put_clock_right(session: Session) -> int:
    """What was sent, or has moved, in the future counts as of now: somebody has set the clock back. Returns how many.

    Rows that are less than a minute ahead are left as they are.
    """
    limits = {"ahead": AHEAD, "overtaken_for": timedelta(seconds=settings().saga_deadline), "most": MOST_AHEAD}
    chains: CursorResult[Any] = session.execute(_CHAINS_AHEAD, limits)  # type: ignore[assignment]
    parcels: CursorResult[Any] = session.execute(_PARCELS_AHEAD, limits)  # type: ignore[assignment]
    if ahead := chains.rowcount + parcels.rowcount:
        log.warning("clock_was_set_back", chains=chains.rowcount, parcels=parcels.rowcount)
    return ahead


def move_on(session: Session) -> Swept:
    """Send the chains again of orders that are past their deadline and lost; while nothing moves, one as a probe.

    A try at a lost one counts, and after ten of them the order is put before people. A probe does not count: an outage
    flags nobody. An order whose own message is still in the outbox, or that is flagged, is left alone.
    """
    swept = Swept()
    limits = {
        "quiet_after": timedelta(seconds=settings().quiet_after),
        "overtaken_for": timedelta(seconds=settings().saga_deadline),
        "ahead": AHEAD,
    }
    late = session.execute(_CANDIDATES, {**limits, "most": MOST}).scalars().all()
    known = _lock(late, session)
    # Looked at again under the lock: another sweeper, or the order's own message, may have been faster.
    still = session.execute(_STILL_DUE, {**limits, "ids": [str(each) for each in known]}).all() if known else []
    for under_way in still:
        _move_on(session, known[under_way.order_id], under_way, swept)
    return swept


def _lock(order_ids: Sequence[UUID], session: Session) -> dict[UUID, Row[Any]]:
    found = session.execute(
        select(orders)
        .where(orders.c.id.in_(order_ids), ~orders.c.needs_attention)
        .order_by(orders.c.id)
        .with_for_update(skip_locked=True)
    )
    return {row.id: row for row in found}


def _move_on(session: Session, order: Row[Any], under_way: Row[Any], swept: Swept) -> None:
    what = {"order_id": str(order.id), "kind": under_way.kind, "correlation_id": under_way.correlation_id}
    if under_way.lost and under_way.attempts >= TRIES:
        flag(session, order, f"lost:{under_way.outbox_id}", Cause.LOST, under_way.correlation_id)
        swept.flagged += 1
        log.error("order_flagged", code=Cause.LOST.value, sent_again=under_way.attempts, **what)
        return
    counts = {"attempts": under_way.attempts + under_way.lost, "sends": under_way.sends + 1}
    resend(session, order, under_way, anew=under_way.lost, **counts)
    swept.resent += 1
    swept.lost += under_way.lost
    log.warning("chain_sent_again", why="lost" if under_way.lost else "probe", sends=under_way.sends + 1, **what)


def ask_delivery(session: Session) -> int:
    """Ask delivery again where parcels are that have not moved for long. Returns of how many orders it was asked."""
    after = timedelta(seconds=settings().delivery_report_after)
    asked = session.execute(_ASK, {"after": after, "most": MOST}).all()
    for order in asked:
        enqueue(session, saga.report(saga.message(order.id, "report", 0, order.correlation_id)).tasks)
    return len(asked)


def forget_old_keys(session: Session, table: Table, after: UUID | None) -> UUID | None:
    """Forget the Idempotency-Keys of this table's next oldest rows that need not be remembered any more.

    ``after`` is where the last call has got to, None at the beginning; returns where this one has.
    """
    until = datetime.now(UTC) - timedelta(days=settings().idempotency_days)
    return forget_keys(session, table, after, until, MOST_KEYS)
