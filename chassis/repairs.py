"""What was mended, and by whom: one row a repair, in the transaction of the repair and in the database it was made in.

Nothing is ever deleted here.
"""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Table, Text, Uuid, func, insert
from sqlalchemy.orm import Session

from chassis.database import chassis_metadata

repairs = Table(
    "repairs",
    chassis_metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False, comment="who ran the repair"),
    Column("run", Uuid, nullable=False, comment="the repairs of one run have it in common"),
    Column("kind", Text, nullable=False, comment="the deviation, as reconcile names it"),
    Column("subject", Text, nullable=False, index=True, comment="the id of what deviated"),
    Column("found", Text, nullable=False),
    Column("did", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was mended: what deviated, what was found, and what was done about it, for people."""

    actor: str
    run: UUID
    kind: str
    subject: str
    found: str
    did: str


def record_repair(session: Session, repair: Repair) -> None:
    """Put a repair on record, if and when the session commits it."""
    session.execute(insert(repairs).values(asdict(repair)))
