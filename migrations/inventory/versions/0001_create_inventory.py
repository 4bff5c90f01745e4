"""Products, reservations and the stock ledger."""

import sqlalchemy as sa
from alembic import op

from chassis.migrations import create_chassis_tables, drop_chassis_tables

revision = "0001"
down_revision = None

#: What a movement says never changes; only its idempotency key may be forgotten, in time.
LEDGER_IS_IMMUTABLE = """
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


def upgrade() -> None:
    create_chassis_tables()
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False, comment="of one unit, in the currency of the settings"),
        sa.Column(
            "stock_quantity",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="sum of the product's ledger",
        ),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column(
            "version", sa.Integer(), server_default="1", nullable=False, comment="counts edits, not stock movements"
        ),
        _time("created_at"),
        _time("updated_at"),
        *_key_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.UniqueConstraint("sku", name="uq_products_sku"),
        sa.CheckConstraint("stock_quantity >= 0", name=op.f("ck_products_stock_not_negative")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_products_price_not_negative")),
        sa.CheckConstraint("status IN ('active', 'inactive', 'discontinued')", name=op.f("ck_products_status")),
    )
    _key_index("products")
    for column in ("created_at", "name", "price"):
        op.create_index(f"ix_products_{column}_id", "products", [column, "id"])
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), comment="why nothing is held, as a code"),
        sa.Column("detail", sa.Text(), comment="the same for people"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("order_id", name="pk_reservations"),
        sa.CheckConstraint("state IN ('held', 'refused', 'released')", name=op.f("ck_reservations_state")),
        sa.CheckConstraint("(state = 'held') = (reason IS NULL)", name=op.f("ck_reservations_reason_unless_held")),
    )
    _create_ledger()


def _create_ledger() -> None:
    op.create_table(
        "stock_movements",
        sa.Column(
            "id",
            sa.Uuid(),
            nullable=False,
            comment="version 7, made while the product is locked: sorts as it happened",
        ),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid()),
        sa.Column("movement_type", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="negative: units that left the stock"),
        sa.Column("reason", sa.Text(), nullable=False),
        _time("created_at", "clock_timestamp()"),
        *_key_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_stock_movements"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_stock_movements_product_id_products"),
        sa.CheckConstraint(
            "CASE movement_type WHEN 'reserve' THEN quantity < 0 AND order_id IS NOT NULL"
            " WHEN 'release' THEN quantity > 0 AND order_id IS NOT NULL"
            " WHEN 'adjust' THEN quantity <> 0 AND order_id IS NULL ELSE false END",
            name=op.f("ck_stock_movements_movement_type"),
        ),
    )
    _key_index("stock_movements")
    op.create_index("ix_stock_movements_product_id_id", "stock_movements", ["product_id", "id"])
    op.create_index(
        "ix_stock_movements_order_id_product_id_movement_type",
        "stock_movements",
        ["order_id", "product_id", "movement_type"],
        unique=True,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.execute(LEDGER_IS_IMMUTABLE)


def _time(name: str, default: str = "now()") -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text(default), nullable=False)


def _key_columns() -> list[sa.Column]:
    return [sa.Column(name, sa.Text()) for name in ("client", "idempotency_key", "request_hash")]


def _key_index(table: str) -> None:
    op.create_index(
        f"ix_{table}_client_idempotency_key",
        table,
        ["client", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("stock_movements")
    op.execute("DROP FUNCTION refuse_change_of_ledger()")
    op.drop_table("reservations")
    op.drop_table("products")
    drop_chassis_tables()
