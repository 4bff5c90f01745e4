"""Tables of ``delivery_db``, and how the rows of a bundle are inserted, locked and written.

Deliveries are always taken in the order of their order ids, so that two bundles wait for each other and never
deadlock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.database import NAMING, recordset
from delivery.status import CANCELLED, PENDING, DeliveryStatus, check_move

metadata = MetaData(naming_convention=NAMING)

#: What names a delivery: the serial, which is never shown but has been once, or the id that is.
DeliveryId = int | UUID

_STATUSES = ", ".join(f"'{each}'" for each in DeliveryStatus)


def _time(name: str) -> Column[object]:
    """A time that is read when the row is written, not when its transaction began: so a log's times never go back."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", Uuid, nullable=False),
    # The default is for workers of the release before, which do not fill it.
    Column("public_id", Uuid, nullable=False, server_default=func.gen_random_uuid(), comment="the id that is shown"),
    Column("status", Text, nullable=False),
    Column("address", Text, comment="null: cancelled before it was created"),
    Column("version", Integer, nullable=False, server_default="1", comment="counts moves"),
    Column("cancel_no", Integer, nullable=False, server_default="0", comment="highest cancel number seen"),
    _time("created_at"),
    _time("updated_at"),
    UniqueConstraint("order_id"),
    Index("uq_deliveries_public_id", "public_id", unique=True),
    Index("ix_deliveries_created_at", "created_at", "public_id"),
    Index("ix_deliveries_status_created_at", "status", "created_at", "public_id"),
    CheckConstraint(f"status IN ({_STATUSES})", name="status"),
    CheckConstraint("address IS NOT NULL OR status = 'CANCELLED'", name="address"),
)

delivery_logs = Table(
    "delivery_logs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("delivery_id", BigInteger, ForeignKey("deliveries.id"), nullable=False),
    Column("status", Text, nullable=False),
    _time("timestamp"),
    Column("location", Text),
    Column("notes", Text),
    Column("occurred_at", DateTime(timezone=True), comment="when it happened; null: at its timestamp"),
    Column("courier_time", DateTime(timezone=True), comment="when it happened, in the courier's own words"),
    Column("event_id", Text, comment="the courier's name for this scan"),
    CheckConstraint(f"status IN ({_STATUSES})", name="status"),
    Index(None, "delivery_id", "id"),
    # Each has scans only: an order that is placed writes none of them.
    Index(
        "ix_delivery_logs_latest",
        "delivery_id",
        text('coalesce(occurred_at, "timestamp")'),
        postgresql_where=text("status IN ('IN_TRANSIT', 'FAILED')"),
    ),
    Index("ix_delivery_logs_event_id", "delivery_id", "event_id", postgresql_where=text("event_id IS NOT NULL")),
    Index(
        "ix_delivery_logs_courier_time",
        "delivery_id",
        "courier_time",
        postgresql_where=text("courier_time IS NOT NULL"),
    ),
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One move or scan: what the delivery is or was scanned as, where, and what there was to say.

    ``timestamp`` is when it came, ``occurred_at`` when it happened, ``courier_time`` when the courier said that it did.
    A move has none of these: it happens as it is written.
    """

    status: DeliveryStatus
    location: str | None = None
    notes: str | None = None
    timestamp: datetime | None = None
    occurred_at: datetime | None = None
    courier_time: datetime | None = None
    event_id: str | None = None


@dataclass(slots=True)
class Delivery:
    """One delivery whose row this transaction has locked; ``save`` writes what became of it."""

    id: int
    order_id: UUID
    status: DeliveryStatus
    version: int
    cancel_no: int
    address: str | None
    public_id: UUID
    entries: list[LogEntry] = field(default_factory=list)

    def move(self, to: DeliveryStatus, location: str | None = None, notes: str | None = None) -> None:
        """The delivery goes on to this status; its version counts that. Raises IllegalTransition."""
        check_move(self.status, to)
        self.status, self.version = to, self.version + 1
        self.entries.append(LogEntry(to, location, notes))

    def scan(self, becomes: DeliveryStatus, entry: LogEntry) -> bool:
        """Keep this scan, after which the delivery is ``becomes``; its version counts that where it is a change.

        Returns whether it is one.
        """
        changes = becomes != self.status
        self.status, self.version = becomes, self.version + changes
        self.entries.append(entry)
        return changes

    def catch_up(
        self, to: DeliveryStatus, version: int, cancel_no: int, notes: str, at: datetime | None = None
    ) -> None:
        """The delivery is again what it was known to be at this later version; an older one changes nothing.

        ``at`` is when it was so, now where that is not known: a scan of a later time decides.
        """
        self.cancel_no = max(self.cancel_no, cancel_no)
        if version > self.version:
            self.status, self.version = to, version
            self.entries.append(LogEntry(to, notes=notes, occurred_at=at))


_INSERT = text(
    "WITH made AS ("
    " INSERT INTO deliveries (public_id, order_id, address, status)"
    " SELECT public_id, order_id, address, CASE WHEN address IS NULL THEN :cancelled ELSE :pending END"
    " FROM json_to_recordset(:orders) AS given (public_id uuid, order_id uuid, address text)"
    " ORDER BY order_id ON CONFLICT (order_id) DO NOTHING RETURNING id, public_id, order_id, status, version, address),"
    " logged AS ("
    " INSERT INTO delivery_logs (delivery_id, status, notes)"
    " SELECT id, status, CASE WHEN address IS NULL THEN 'cancelled before it was created' END FROM made)"
    " SELECT id, public_id, order_id, status, version FROM made"
)


def insert_deliveries(session: Session, addresses: Mapping[UUID, str | None]) -> dict[UUID, Row[tuple[Any, ...]]]:
    """Make the deliveries of the orders that have none, each with its first log entry.

    Returns id, public_id, order_id, status and version of the new ones, by order id. An order with an address starts
    PENDING; one without was cancelled first and gets a tombstone. Read the others in a later statement: in this one, a
    row that is committed meanwhile is neither inserted nor seen.
    """
    if not addresses:
        return {}
    orders = recordset(
        {"public_id": uuid7(), "order_id": order_id, "address": address} for order_id, address in addresses.items()
    )
    rows = session.execute(_INSERT, {"orders": orders, "pending": str(PENDING), "cancelled": str(CANCELLED)})
    return {row.order_id: row for row in rows}


def lock_orders(session: Session, order_ids: Iterable[UUID]) -> dict[UUID, Delivery]:
    """The deliveries of these orders by order id, locked until the transaction ends; orders without one are missing."""
    return {each.order_id: each for each in _lock(session, deliveries.c.order_id.in_(list(order_ids)))}


def lock_deliveries(session: Session, names: Iterable[DeliveryId], *, wait: bool) -> dict[DeliveryId, Delivery]:
    """The deliveries that are named, by serial and by public id, locked until the transaction ends; unknown ones are
    missing.

    Unless ``wait``, those that another transaction holds are missing too.
    """
    locked = _lock(session, named(names), wait=wait)
    return {name: each for each in locked for name in (each.id, each.public_id)}


def named(names: Iterable[DeliveryId]) -> ColumnElement[bool]:
    """The deliveries with these serials and these public ids."""
    asked = list(names)
    serials = [each for each in asked if isinstance(each, int)]
    public_ids = [each for each in asked if not isinstance(each, int)]
    either = [deliveries.c.id.in_(serials)] if serials else []
    either += [deliveries.c.public_id.in_(public_ids)] if public_ids else []
    return or_(false(), *either)


def _lock(session: Session, condition: ColumnElement[bool], *, wait: bool = True) -> list[Delivery]:
    found = select(deliveries).where(condition).order_by(deliveries.c.order_id)
    rows = session.execute(found.with_for_update(skip_locked=not wait))
    return [
        Delivery(
            row.id, row.order_id, DeliveryStatus(row.status), row.version, row.cancel_no, row.address, row.public_id
        )
        for row in rows
    ]


_UPDATE = text(
    "UPDATE deliveries SET status = now.status, version = now.version, cancel_no = now.cancel_no, updated_at ="
    " CASE WHEN deliveries.version = now.version THEN updated_at ELSE clock_timestamp() END"
    " FROM json_to_recordset(:held) AS now (id bigint, status text, version int, cancel_no int)"
    " WHERE deliveries.id = now.id AND deliveries.id = ANY(CAST(:ids AS bigint[]))"
    " AND (deliveries.version, deliveries.cancel_no) <> (now.version, now.cancel_no)"
)
# Couriers' clocks may be a little ahead. A move is granted by what is known, so it happens after all that is known.
_LOG = text("""
    INSERT INTO delivery_logs
        (delivery_id, status, location, notes, "timestamp", occurred_at, courier_time, event_id)
    SELECT id, status, location, notes, coalesce(came, clock_timestamp()),
        coalesce(occurred_at, (
            SELECT max(coalesce(known.occurred_at, known."timestamp")) + interval '1 microsecond'
            FROM delivery_logs AS known
            WHERE known.delivery_id = entries.id AND known.status IN ('IN_TRANSIT', 'FAILED')
                AND coalesce(known.occurred_at, known."timestamp") >= clock_timestamp()
        )), courier_time, event_id
    FROM ROWS FROM (json_to_recordset(:entries) AS (
        id bigint, status text, location text, notes text, "timestamp" timestamptz, occurred_at timestamptz,
        courier_time timestamptz, event_id text
    )) WITH ORDINALITY AS entries (id, status, location, notes, came, occurred_at, courier_time, event_id, turn)
    ORDER BY turn
""")


def save(session: Session, held: Iterable[Delivery]) -> None:
    """Write what became of these locked deliveries, and one log entry for each of their moves and scans.

    Rows to which nothing has happened are not written.
    """
    rows = list(held)
    session.execute(_UPDATE, {"held": recordset(rows), "ids": [each.id for each in rows]})
    entries = [{"id": each.id, **asdict(entry)} for each in rows for entry in each.entries]
    if entries:
        session.execute(_LOG, {"entries": recordset(entries)})
