"""Why an order needs somebody's attention, for everybody to read: a code, a sentence, since when, and what to do next.

What made it so, an exception and its statement, is in the quarantine and in the log, where only operators look. Nothing
of that is stored with the order or shown with it; what the release before has stored there is read for its kind alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.orm import Session


class Cause(StrEnum):
    """What made an order need attention; the code that is shown."""

    STEP_FAILED = "step_failed"
    DEAD_LETTERED = "dead_lettered"
    DROPPED = "message_dropped"
    LOST = "messages_lost"
    SCANNED = "scanned_after_cancel"
    NOT_NOTED = "not_noted"


SENTENCES = {
    Cause.STEP_FAILED: "A step could not work on this order; its message waits in the quarantine.",
    Cause.DEAD_LETTERED: "The broker gave up on a message about this order; it waits in the quarantine.",
    Cause.DROPPED: "A message about this order could not be worked on and was dropped; nothing has settled the order.",
    Cause.LOST: "The messages of this order were sent again and again, and got lost each time.",
    Cause.SCANNED: "A courier has scanned this order's parcel, though it is cancelled: find out where it is, then"
    " resume the order.",
    Cause.NOT_NOTED: "It was flagged, and nobody has noted why.",
}


@dataclass(frozen=True, slots=True)
class Attention:
    """Why an order needs attention; ``since`` is None where nobody has noted it, ``next`` is a command."""

    code: Cause
    detail: str
    since: datetime | None
    next: str


_NOTED = text(
    "SELECT asked.id, noted.at, noted.code, noted.reason, EXISTS ("
    # A message of several orders has no order of its own; few of those wait at a time.
    " SELECT FROM quarantine WHERE state = 'waiting' AND (order_id = asked.id"
    " OR order_id IS NULL AND strpos(CAST(body AS text), CAST(asked.id AS text)) > 0)) AS waits"
    " FROM unnest(CAST(:ids AS uuid[])) AS asked (id) LEFT JOIN LATERAL ("
    " SELECT at, code, reason FROM order_events WHERE order_id = asked.id AND kind = 'needs_attention'"
    " ORDER BY id DESC LIMIT 1) AS noted ON true"
)
# Who resumes an order, or gives it up, has looked at it. A message that is replayed says nothing about the parcel.
_SCANNED = text(
    "SELECT asked.id, seen.at FROM unnest(CAST(:ids AS uuid[])) AS asked (id) CROSS JOIN LATERAL ("
    " SELECT at, kind FROM order_events WHERE order_id = asked.id"
    " AND kind IN ('scanned', 'resumed', 'compensate_requested') ORDER BY id DESC LIMIT 1) AS seen"
    " WHERE seen.kind = 'scanned'"
)


def scanned_unseen(session: Session | Connection, order_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When the parcels of these orders were scanned though they are cancelled, where nobody has seen to it since."""
    if not order_ids:
        return {}
    return {row.id: row.at for row in session.execute(_SCANNED, {"ids": list(order_ids)})}


def attentions(session: Session | Connection, order_ids: Sequence[UUID]) -> dict[UUID, Attention]:
    """Why somebody has to look at these flagged orders, by order: what was noted last."""
    if not order_ids:
        return {}
    scanned = scanned_unseen(session, order_ids)
    rows = session.execute(_NOTED, {"ids": list(order_ids)})
    return {row.id: _attention(row, scanned.get(row.id)) for row in rows}


def _attention(row: Row[Any], scanned: datetime | None) -> Attention:
    if scanned is not None and not row.waits:
        return Attention(Cause.SCANNED, SENTENCES[Cause.SCANNED], scanned, f"conveyor delivery show {row.id}")
    cause = cause_noted(row.code, row.reason) if row.at else Cause.NOT_NOTED
    if cause in (Cause.STEP_FAILED, Cause.DEAD_LETTERED) and not row.waits:
        cause = Cause.DROPPED
    do_next = f"quarantine list --order {row.id}" if row.waits else f"order resume {row.id}"
    return Attention(cause, SENTENCES[cause], row.at, f"conveyor {do_next}")


def cause_noted(code: str | None, reason: str | None) -> Cause:
    """What an event says made its order need attention. The release before stored no code, but what had gone wrong."""
    if code is not None:
        return Cause(code)
    if (reason or "").startswith("dead-lettered in "):
        return Cause.DEAD_LETTERED
    return Cause.LOST if (reason or "").startswith("sent again ") else Cause.STEP_FAILED
