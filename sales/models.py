"""The tables of ecommerce_db (beside the chassis' outbox and attempts), and the order of their locks."""

from collections.abc import Collection
from typing import Any
from uuid import UUID as PythonUUID

from sqlalchemy import (
    JSON,
    UUID,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Row,
    Table,
    Text,
    func,
    text,
    update,
)
from sqlalchemy.orm import Session

from chassis.codes import nfc
from chassis.database import NAMING
from chassis.idempotency import key_columns
from sales.status import OrderStatus

metadata = MetaData(naming_convention=NAMING)

_STATUSES = ", ".join(f"'{each}'" for each in OrderStatus)


def _moment(name: str, **options: object) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now(), **options)  # type: ignore[arg-type]


customers = Table(
    "customers",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text),
    Column("address", Text, nullable=False),
    _moment("created_at"),
    *key_columns(),
    Index("ix_customers_email", func.lower(text("email"))),
)

#: Whose an address is. Only who is registered from this table on owns one; the release before does not know of it.
customer_emails = Table(
    "customer_emails",
    metadata,
    Column("email", Text, primary_key=True, comment="case-folded"),
    Column("customer_id", UUID, ForeignKey("customers.id"), nullable=False),
)


def folded(email: str) -> str:
    """This address in the spelling in which it is compared."""
    return nfc(email).casefold()


orders = Table(
    "orders",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("customer_id", UUID, ForeignKey("customers.id"), nullable=False),
    Column("status", Text, CheckConstraint(f"status IN ({_STATUSES})", name="status"), nullable=False),
    Column("reason", Text, comment="a code: why it was rejected or cancelled"),
    Column("total_amount", Numeric(20, 2), comment="null until the catalogue has named its prices"),
    Column("currency", Text, nullable=False),
    Column("delivery_address", Text, nullable=False),
    *key_columns(),
    Column("needs_attention", Boolean, nullable=False, server_default=text("false")),
    Column("delivery_status", Text, comment="the newest that delivery has told"),
    Column("delivery_version", Integer, nullable=False, server_default=text("0")),
    Column("delivery_asked_at", DateTime(timezone=True), comment="when the sweeper last asked delivery about it"),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="counts changes, for ETag"),
    _moment("created_at"),
    _moment("updated_at"),
    Index("ix_orders_created_at", "created_at", "id"),
    Index("ix_orders_status_created_at", "status", "created_at", "id"),
    Index("ix_orders_customer_id_created_at", "customer_id", "created_at", "id"),
    Index("ix_orders_attention", "created_at", "id", postgresql_where=text("needs_attention")),
    Index(
        "ix_orders_shipped",
        text("GREATEST(updated_at, delivery_asked_at)"),
        postgresql_where=text("status IN ('Pending Shipment', 'In Transit')"),
    ),
)

order_items = Table(
    "order_items",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", UUID, ForeignKey("orders.id"), nullable=False, index=True),
    Column("product_id", UUID, nullable=False),
    Column("sku", Text, comment="as the catalogue had it when it was asked"),
    Column("product_name", Text, comment="as the catalogue had it when the order was priced"),
    Column("quantity", Integer, CheckConstraint("quantity > 0", name="quantity"), nullable=False),
    Column("price", Numeric(12, 2), comment="the one the customer saw, if told; then the catalogue's"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", UUID, ForeignKey("orders.id"), nullable=False),
    _moment("at"),
    Column("kind", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="with the kind, what makes a re-sent event the same event"),
    Column("from_status", Text),
    Column("to_status", Text),
    Column("actor", Text, nullable=False),
    Column("code", Text, comment="why, for programs; the reason is for people"),
    Column("reason", Text),
    Column("correlation_id", Text),
    Index("uq_order_events_order_id_kind_number", "order_id", "kind", "number", unique=True),
)

order_sagas = Table(
    "order_sagas",
    metadata,
    Column("order_id", UUID, ForeignKey("orders.id"), primary_key=True),
    Column("kind", Text, CheckConstraint("kind IN ('place', 'cancel')", name="kind"), nullable=False),
    Column("no", Integer, nullable=False, comment="0 for place; numbers the cancel requests"),
    Column("correlation_id", Text),
    Column("outbox_id", BigInteger, comment="the row that last sent the chain: not re-sent while it waits"),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="re-sends of a chain that was lost"),
    Column("sends", Integer, nullable=False, server_default=text("0"), comment="all re-sends, for the back-off"),
    _moment("started_at"),
    _moment("sent_at", comment="when the chain was sent last"),
    Column("deadline", DateTime(timezone=True), comment="when the sweeper looks at it; null once closed"),
    Column("closed_at", DateTime(timezone=True)),
    Column(
        "reached_end",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="closed by its last step: what was sent before it has got through, or is lost",
    ),
    # Empty, and used by nobody; the release before still writes NULL into it, so that a later one drops it.
    Column("last_error", Text),
    Index("ix_order_sagas_deadline", "deadline", postgresql_where=text("deadline IS NOT NULL")),
    Index("ix_order_sagas_reached_end", "kind", "started_at", postgresql_where=text("reached_end")),
    Index("ix_order_sagas_kind_closed_at", "kind", "closed_at"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("order_id", UUID),
    Column("queue", Text, nullable=False),
    Column("task", Text),
    # JSON, not JSONB: it takes whatever a message held, U+0000 included.
    Column("body", JSON, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("count", Integer, nullable=False, server_default=text("1")),
    _moment("first_seen"),
    _moment("last_seen"),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('waiting', 'replayed', 'dropped')", name="state"),
        nullable=False,
        server_default=text("'waiting'"),
    ),
    Column("settled_by", Text),
    Column("settled_at", DateTime(timezone=True)),
    Column("settled_reason", Text),
    Index("ix_quarantine_state_last_seen", "state", "last_seen"),
    Index("ix_quarantine_order_id", "order_id"),
)

#: Who replayed or dropped which message, and why: a message that comes back waits again, and this stays. Without a
#: foreign key, so that it also stays when a message is forgotten one day.
quarantine_actions = Table(
    "quarantine_actions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", Text, nullable=False, index=True),
    _moment("at"),
    Column("actor", Text, nullable=False),
    Column("action", Text, CheckConstraint("action IN ('replayed', 'dropped')", name="action"), nullable=False),
    Column("reason", Text),
)


def put_before_people(session: Session, order_id: PythonUUID) -> None:
    """Somebody has to look at this order, which is locked. Why is for the caller to note in its timeline."""
    flagged = update(orders).where(orders.c.id == order_id)
    session.execute(flagged.values(needs_attention=True, version=orders.c.version + 1, updated_at=func.now()))


_LOCK_ORDERS = text("SELECT * FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")


def lock_orders(
    session: Session, order_ids: Collection[PythonUUID], *, missing_ok: bool = False
) -> dict[PythonUUID, Row[Any]]:
    """The orders by id, locked in the order of their ids. Raises LookupError for one that does not exist."""
    found = {row.id: row for row in session.execute(_LOCK_ORDERS, {"ids": list(order_ids)})}
    missing = set(order_ids) - set(found)
    if missing and not missing_ok:
        raise LookupError(f"there is no order {min(missing)}")
    return found
