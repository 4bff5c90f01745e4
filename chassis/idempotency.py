"""A request sent twice makes one row: the truth behind ``Idempotency-Key``.

The key and a hash of the request stand in the row that the request creates, unique per client, in the row's own
transaction. So it holds with Redis flushed, a crashed gateway, or two gateways at once. A key belongs to one client and
one route, and the table stands for the route: no two routes create rows of the same table.
Follows the IETF draft "The Idempotency-Key HTTP Header Field".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, Row, Table, Text, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.codes import nfc, unseen
from chassis.errors import Invalid
from chassis.settings import settings

#: Characters of the longest key.
LONGEST_KEY = 255

_FORGOTTEN: dict[str, None] = {"client": None, "idempotency_key": None, "request_hash": None}


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used before, for another request."""

    code, title = "idempotency_key_reused", "The Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Who sent which request under which key; ``digest`` is the SHA-256 of method, path and raw body, in hex."""

    client: str
    key: str
    digest: str


def read_key(header: str) -> str:
    """The key that this header spells, as it is stored and compared. Raises Invalid.

    A key may come bare or as a quoted string (IETF draft); both spell the same key, and so do all spellings that
    Unicode knows of a text. Headers come as latin-1, whatever a client wrote. A key is stored in that disguise, as
    0.2.0 stored it: a request that is sent again after an upgrade must find its row.
    """
    key = header[1:-1] if len(header) >= 2 and header[0] == header[-1] == '"' else header
    raw = key.encode("latin-1", "replace")
    try:
        text, encoding = nfc(raw.decode()), "utf-8"
    except UnicodeDecodeError:
        text, encoding = key, "latin-1"
    found = unseen(text)
    if found or not 1 <= len(text) <= LONGEST_KEY:
        rule = f"must be 1 to {LONGEST_KEY} printable characters" + (f", and holds {found}" if found else "")
        raise Invalid(f"Idempotency-Key {rule}", errors=[{"field": "Idempotency-Key", "message": rule}])
    return text.encode(encoding).decode("latin-1")


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

    A copy of the request that is still running is waited for, on the unique index. A key that is older than
    ``idempotency_days`` is free again. Raises IdempotencyKeyReused.
    """
    if request is None:
        return session.execute(insert(table).values(values).returning(table)).one(), False
    values = {
        **values,
        "client": request.client,
        "idempotency_key": request.key,
        "request_hash": request.digest,
    }
    made = _insert(session, table, values)
    if made is None and _free_again(session, table, request):
        made = _insert(session, table, values)
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
            "This Idempotency-Key was used before with another path or body. Use a new key for a new request.",
            errors=[{"field": "Idempotency-Key", "message": "already used for another request"}],
        )
    return found


def forget_keys(session: Session, table: Table, after: UUID | None, until: datetime, most: int) -> UUID | None:
    """Forget the keys of the next ``most`` rows made before ``until``, oldest first. Returns the last of these rows.

    ``after`` is what the last call returned, None at the beginning. The rows' ids are UUIDs of version 7, so that the
    primary key is in the order of time and no index is needed for this.
    """
    page = select(table.c.id).where(table.c.id < _first_id_of(until)).order_by(table.c.id).limit(most)
    ids: Sequence[UUID] = session.execute(page if after is None else page.where(table.c.id > after)).scalars().all()
    if not ids:
        return after
    keyed = select(table.c.id).where(table.c.id.between(ids[0], ids[-1]), table.c.idempotency_key.isnot(None))
    locked = keyed.order_by(table.c.id).with_for_update(skip_locked=True)
    session.execute(update(table).where(table.c.id.in_(locked.scalar_subquery())).values(_FORGOTTEN))
    return ids[-1]


def _insert(session: Session, table: Table, values: dict[str, Any]) -> Row[Any] | None:
    return session.execute(
        insert(table)
        .values(values)
        .on_conflict_do_nothing(
            index_elements=["client", "idempotency_key"], index_where=table.c.idempotency_key.isnot(None)
        )
        .returning(table)
    ).one_or_none()


def _free_again(session: Session, table: Table, request: RequestKey) -> bool:
    """Forget this key where it need not be remembered any more, and say whether it is free now."""
    until = func.now() - timedelta(days=settings().idempotency_days)
    same = (table.c.client == request.client, table.c.idempotency_key == request.key)
    freed = update(table).where(*same, table.c.created_at < until).values(_FORGOTTEN).returning(table.c.id)
    return session.execute(freed).first() is not None


def _first_id_of(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80)
