"""A product knows what its SKU may be read as, so that none joins that people would take for it.

Products that are there and look the same stay as they are, as do SKUs that are not in Unicode's normal form: a SKU is
looked for in each spelling. The index is not unique, because look-alikes may be allowed, and because the release before
leaves the column empty; what it makes is read when the next product is made.
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.lookalikes import looks

revision = "0004"
down_revision = "0003"

#: Products that are read and written at a time.
_PAGE = 5_000

_NEXT = sa.text("SELECT id, sku FROM products WHERE id > CAST(:last AS uuid) OR :last IS NULL ORDER BY id LIMIT :most")
_WRITE = sa.text(
    "UPDATE products SET looks = read.looks FROM json_to_recordset(:read) AS read (id uuid, looks text[])"
    " WHERE products.id = read.id"
)


def upgrade() -> None:
    op.add_column(
        "products",
        sa.Column(
            "looks",
            postgresql.ARRAY(sa.Text()),
            comment="what the sku may be read as; null where 0.2.0 has made the product",
        ),
    )
    if not op.get_context().as_sql:
        _fill(op.get_bind())
    op.create_index("ix_products_looks", "products", ["looks"], postgresql_using="gin")
    op.create_index("ix_products_without_looks", "products", ["id"], postgresql_where=sa.text("looks IS NULL"))


def _fill(connection: sa.Connection) -> None:
    last = None
    while rows := connection.execute(_NEXT, {"last": last, "most": _PAGE}).all():
        read = [{"id": str(row.id), "looks": sorted(looks(row.sku))} for row in rows]
        connection.execute(_WRITE, {"read": json.dumps(read)})
        last = rows[-1].id


def downgrade() -> None:
    op.drop_index("ix_products_without_looks", "products")
    op.drop_index("ix_products_looks", "products")
    op.drop_column("products", "looks")
