"""Tables of inventory_db, and the statements that change many of their rows at once.

Locks have one order: reservations by order id, then products by id. Each statement takes a bundle of any size, so a
bundle costs the same few statements whatever its size.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    Row,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    func,
    text,
)
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.database import NAMING, recordset
from chassis.idempotency import key_columns
from inventory.status import MovementType, ReservationState

metadata = MetaData(naming_convention=NAMING)

products = Table(
    "products",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("price", Numeric(12, 2), nullable=False, comment="of one unit, in the currency of the settings"),
    Column("stock_quantity", BigInteger, nullable=False, server_default="0", comment="sum of the product's ledger"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("version", Integer, nullable=False, server_default="1", comment="counts edits, not stock movements"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *key_columns(),
    UniqueConstraint("sku"),
    CheckConstraint("stock_quantity >= 0", name="stock_not_negative"),
    CheckConstraint("price >= 0", name="price_not_negative"),
    CheckConstraint("status IN ('active', 'inactive', 'discontinued')", name="status"),
    Index(None, "created_at", "id"),
    Index(None, "name", "id"),
    Index(None, "price", "id"),
)

#: What each SKU may be read as (chassis.lookalikes). Look-alikes may be allowed, so no look is unique.
sku_looks = Table(
    "sku_looks",
    metadata,
    Column("look", Text, primary_key=True, comment="what the SKU may be read as"),
    Column("product_id", Uuid, primary_key=True),
    Index(None, "product_id"),
)

#: One row. The release before makes products without looks; they are read now and then.
sku_looks_read = Table(
    "sku_looks_read",
    metadata,
    Column("at", DateTime(timezone=True), nullable=False, comment="until when all products have their looks"),
)

#: One row for each order that was ever decided on. A release that comes first leaves ``released``: a tombstone.
reservations = Table(
    "reservations",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, comment="why nothing is held, as a code"),
    Column("detail", Text, comment="the same for people"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('held', 'refused', 'released')", name="state"),
    CheckConstraint("(state = 'held') = (reason IS NULL)", name="reason_unless_held"),
)

#: Signed and immutable: a trigger refuses every change but forgetting an idempotency key.
stock_movements = Table(
    "stock_movements",
    metadata,
    Column("id", Uuid, primary_key=True, comment="version 7, made while the product is locked: sorts as it happened"),
    Column("product_id", Uuid, ForeignKey(products.c.id), nullable=False),
    Column("order_id", Uuid),
    Column("movement_type", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False, comment="negative: units that left the stock"),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    *key_columns(),
    CheckConstraint(
        "CASE movement_type WHEN 'reserve' THEN quantity < 0 AND order_id IS NOT NULL"
        " WHEN 'release' THEN quantity > 0 AND order_id IS NOT NULL"
        " WHEN 'adjust' THEN quantity <> 0 AND order_id IS NULL ELSE false END",
        name="movement_type",
    ),
    Index(None, "product_id", "id"),
    # The second guard behind the reservation: an order takes and gives back each product at most once.
    Index(None, "order_id", "product_id", "movement_type", unique=True, postgresql_where=text("order_id IS NOT NULL")),
)

#: What a movement says never changes; only its idempotency key may be forgotten, in time.
_IMMUTABLE = """
CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'stock_movements is immutable: write a movement that corrects it'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER immutable
    BEFORE DELETE OR TRUNCATE OR
           UPDATE OF id, product_id, order_id, movement_type, quantity, reason, created_at
    ON stock_movements EXECUTE FUNCTION refuse_change_of_ledger();
"""
event.listen(stock_movements, "after_create", DDL(_IMMUTABLE))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Movement:
    """Units of one product that enter the stock (> 0) or leave it (< 0), for an order or for nobody."""

    product_id: UUID
    order_id: UUID | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order cannot have what it wants; ``reason`` is a code, ``detail`` a sentence for people."""

    reason: str
    detail: str


_CLAIM = text(
    "INSERT INTO reservations (order_id, state, reason, detail)"
    " SELECT order_id, :state, :reason, :detail FROM unnest(CAST(:ids AS uuid[])) AS asked (order_id)"
    " ORDER BY order_id ON CONFLICT DO NOTHING RETURNING order_id"
)


def claim(
    session: Session, order_ids: Collection[UUID], state: ReservationState, refusal: Refusal | None = None
) -> set[UUID]:
    """Decide on the orders that nobody has decided on; returns them. Waits for a copy that is deciding just now."""
    why = {"reason": refusal and refusal.reason, "detail": refusal and refusal.detail}
    return set(session.execute(_CLAIM, {"ids": list(order_ids), "state": state, **why}).scalars())


_DECISIONS = text("SELECT order_id, state, reason, detail FROM reservations WHERE order_id = ANY(CAST(:ids AS uuid[]))")


def read_decisions(session: Session, order_ids: Collection[UUID]) -> dict[UUID, Refusal | None]:
    """What is stored about these orders: a refusal, or None where stock is held.

    Read in a statement after ``claim``: in one with it, a copy that commits meanwhile is neither inserted nor seen.
    """
    if not order_ids:
        return {}
    rows = session.execute(_DECISIONS, {"ids": list(order_ids)})
    return {
        row.order_id: None if row.state == ReservationState.HELD else Refusal(row.reason, row.detail) for row in rows
    }


_REFUSE = text(
    "UPDATE reservations SET state = 'refused', reason = refused.reason, detail = refused.detail"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[]), CAST(:details AS text[]))"
    " AS refused (order_id, reason, detail) WHERE reservations.order_id = refused.order_id"
)


def refuse(session: Session, refusals: Mapping[UUID, Refusal]) -> None:
    """Turn claims of this transaction into refusals."""
    if refusals:
        reasons = [each.reason for each in refusals.values()]
        details = [each.detail for each in refusals.values()]
        session.execute(_REFUSE, {"ids": list(refusals), "reasons": reasons, "details": details})


_LOCK_HELD = text(
    "SELECT order_id FROM reservations WHERE order_id = ANY(CAST(:ids AS uuid[])) AND state = 'held'"
    " ORDER BY order_id FOR UPDATE"
)
_RELEASE = text(
    "UPDATE reservations SET state = 'released', reason = :reason, detail = :detail, updated_at = now()"
    " WHERE order_id = ANY(CAST(:ids AS uuid[]))"
)


def release_held(session: Session, order_ids: Collection[UUID], refusal: Refusal) -> list[UUID]:
    """Mark those of the orders that hold stock as released, and return them; they are locked until the commit."""
    held = list(session.execute(_LOCK_HELD, {"ids": list(order_ids)}).scalars())
    if held:
        session.execute(_RELEASE, {"ids": held, "reason": refusal.reason, "detail": refusal.detail})
    return held


_HOLDINGS = text(
    "SELECT product_id, order_id, CAST(-sum(quantity) AS bigint) AS quantity FROM stock_movements"
    " WHERE order_id = ANY(CAST(:ids AS uuid[])) GROUP BY product_id, order_id HAVING sum(quantity) <> 0"
)


def read_holdings(session: Session, order_ids: Collection[UUID]) -> list[Movement]:
    """What the ledger says these orders hold, as the movements that give it back."""
    return [Movement(*row) for row in session.execute(_HOLDINGS, {"ids": list(order_ids)})]


_LOCK_PRODUCTS = text(
    "SELECT id, sku, name, price, stock_quantity, status, version FROM products"
    " WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
)


def lock_products(session: Session, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """These products as they are now and, locked, stay until the commit; an unknown id is missing from the answer."""
    if not ids:
        return {}
    return {row.id: row for row in session.execute(_LOCK_PRODUCTS, {"ids": list(ids)})}


#: One statement, so that the ledger and the stock cannot part.
_MOVE_STOCK = text(
    "WITH moved AS ("
    " INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason)"
    " SELECT id, product_id, order_id, :movement_type, quantity, :reason"
    " FROM json_to_recordset(:movements) AS moving (id uuid, product_id uuid, order_id uuid, quantity bigint)"
    " RETURNING product_id, quantity)"
    " UPDATE products SET stock_quantity = stock_quantity + change.quantity, updated_at = now()"
    " FROM (SELECT product_id, sum(quantity) AS quantity FROM moved GROUP BY product_id) AS change"
    " WHERE products.id = change.product_id"
)


def move_stock(session: Session, movement_type: MovementType, reason: str, movements: Sequence[Movement]) -> None:
    """Book these movements and change the stock by them. The caller has locked the products."""
    if movements:
        rows = [
            {"id": uuid7(), "product_id": each.product_id, "order_id": each.order_id, "quantity": each.quantity}
            for each in movements
        ]
        given = {"movement_type": movement_type, "reason": reason, "movements": recordset(rows)}
        session.execute(_MOVE_STOCK, given)
