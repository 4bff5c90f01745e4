"""A request sent twice makes one row: the truth behind ``Idempotency-Key``.

The key and a hash of the request stand in the row that the request creates, unique per client, in the row's own
transaction. So it holds with Redis flushed, a crashed gateway, or two gateways at once.
Follows the IETF draft "The Idempotency-Key HTTP Header Field".
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Index, Row, Table, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.errors import Invalid


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used before, for another request."""

    code, title = "idempotency_key_reused", "The Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Who sent which request under which key; ``digest`` is the SHA-256 of method, path and raw body, in hex."""

    client: str
    key: str
    digest: str


def key_columns() -> tuple[Column[str], Column[str], Column[str], Index]:
    """The columns and the unique index of a table whose rows are created by a request."""
    client, key = Column("client", Text), Column("idempotency_key", Text)
    return (
        client,
        key,
        Column("request_hash", Text),
        Index(None, client, key, unique=True, postgresql_where=key.isnot(None)),
    )


def insert_once(
    session: Session, table: Table, values: dict[str, Any], request: RequestKey | None
) -> tuple[Row[Any], bool]:
    """Insert a row for this request, or find the row that the request made before: ``(row, replayed)``.

    A copy of the request that is still running is waited for, on the unique index. Raises IdempotencyKeyReused.
    """
    if request is None:
        return session.execute(insert(table).values(values).returning(table)).one(), False
    values = {
        **values,
        "client": request.client,
        "idempotency_key": request.key,
        "request_hash": request.digest,
    }
    made = session.execute(
        insert(table)
        .values(values)
        .on_conflict_do_nothing(
            index_elements=["client", "idempotency_key"], index_where=table.c.idempotency_key.isnot(None)
        )
        .returning(table)
    ).one_or_none()
    if made is not None:
        return made, False
    # In a statement of its own: in the one above, a copy that commits meanwhile is neither inserted nor seen.
    found = replay_of(session, table, request)
    if found is None:
        raise LookupError(f"no row of {table.name} has the key that its unique index refused")
    return found, True


def replay_of(session: Session, table: Table, request: RequestKey) -> Row[Any] | None:
    """The row that this request made before, if it did. Raises IdempotencyKeyReused.

    For an insert that failed on another unique column: a copy of the request may have taken the value meanwhile.
    """
    found = session.execute(
        select(table).where(table.c.client == request.client, table.c.idempotency_key == request.key)
    ).one_or_none()
    if found is not None and found.request_hash != request.digest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used before with another method, path or body. Use a new key for a new request.",
            errors=[{"field": "Idempotency-Key", "message": "already used for another request"}],
        )
    return found
