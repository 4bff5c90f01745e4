"""How often a message was begun and never finished: the evidence against one that kills its workers.

A worker that dies raises nothing, so the count is committed before the work is tried again. A message that ends well
takes its row with it.
"""

from sqlalchemy import Column, DateTime, Integer, Table, Text, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.database import chassis_metadata

attempts = Table(
    "attempts",
    chassis_metadata,
    Column("message_id", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_error", Text),
    Column("first_seen", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_seen", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


def count_attempt(session: Session, message_id: str, error: str | None = None) -> int:
    """One more try of this message has come to nothing. Returns how many have."""
    statement = insert(attempts).values(message_id=message_id, count=1, last_error=error)
    count: int = session.execute(
        statement.on_conflict_do_update(
            index_elements=["message_id"],
            set_={
                "count": attempts.c.count + 1,
                "last_error": func.coalesce(statement.excluded.last_error, attempts.c.last_error),
                "last_seen": func.now(),
            },
        ).returning(attempts.c.count)
    ).scalar_one()
    return count


def forget_attempts(session: Session, message_id: str) -> None:
    """This message is done with, one way or the other."""
    session.execute(delete(attempts).where(attempts.c.message_id == message_id))
