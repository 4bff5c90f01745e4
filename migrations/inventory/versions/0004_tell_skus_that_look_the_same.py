"""What each SKU may be read as, so that no product joins that people would take for another.

A table of its own, which the release before neither reads nor fills, and without a foreign key: whatever touches
`products` itself would wait for the orders that are at work on it. What that release makes meanwhile is read within a
minute by whoever makes a product then. Products that are there and look the same stay as they are, as do SKUs that are
not in Unicode's normal form: a SKU is looked for in each spelling. Look-alikes may be allowed, so no look is unique.
"""

import sqlalchemy as sa
from alembic import op

from chassis.lookalikes import looks

revision = "0004"
down_revision = "0003"

#: Products that are read and written at a time.
_PAGE = 5_000

_NEXT = sa.text("SELECT id, sku FROM products WHERE id > CAST(:last AS uuid) OR :last IS NULL ORDER BY id LIMIT :most")


def upgrade() -> None:
    table = op.create_table(
        "sku_looks",
        sa.Column("look", sa.Text(), nullable=False, comment="what the SKU may be read as"),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("look", "product_id", name="pk_sku_looks"),
    )
    op.create_index("ix_sku_looks_product_id", "sku_looks", ["product_id"])
    op.create_table(
        "sku_looks_read",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="until when all products have their looks"),
    )
    op.execute("INSERT INTO sku_looks_read (at) VALUES (now())")
    if not op.get_context().as_sql:
        _fill(op.get_bind(), table)


def _fill(connection: sa.Connection, table: sa.Table) -> None:
    last = None
    while rows := connection.execute(_NEXT, {"last": last, "most": _PAGE}).all():
        read = [{"look": look, "product_id": row.id} for row in rows for look in looks(row.sku)]
        connection.execute(sa.insert(table), read)
        last = rows[-1].id


def downgrade() -> None:
    op.drop_table("sku_looks_read")
    op.drop_table("sku_looks")
