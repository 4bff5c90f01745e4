"""Which products have SKUs that people may take for one another: what each may be read as is stored with it."""

from typing import Any

from sqlalchemy import Row, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.lookalikes import looks
from inventory.models import sku_looks, sku_looks_read

#: Nobody else makes a product that looks like this one until the commit. In one order, so that two never deadlock.
_LOCK_LOOKS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(look, 0)) FROM unnest(CAST(:looks AS text[])) AS look"
)
_ALIKE = text(
    "SELECT id, sku FROM products WHERE id <> :id AND id IN ("
    " SELECT product_id FROM sku_looks WHERE look = ANY(CAST(:looks AS text[]))) ORDER BY created_at, id"
)
#: At most one reads at a time, and nobody waits for it.
_LONG_UNREAD = text("SELECT FROM sku_looks_read WHERE at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED")
_UNREAD = text(
    "SELECT id, sku FROM products WHERE NOT EXISTS (SELECT FROM sku_looks WHERE product_id = products.id) ORDER BY id"
)


def products_like(session: Session, product: Row[Any]) -> list[Row[Any]]:
    """The products whose SKU may look like this new one's, oldest first. Until the commit nobody makes another.

    Of those that the release before has made beside this one it may miss what is younger than a minute.
    """
    if session.execute(_LONG_UNREAD).first() is not None:
        for row in session.execute(_UNREAD).all():
            add_looks(session, row)
        session.execute(update(sku_looks_read).values(at=func.now()))
    may_be = sorted(looks(product.sku))
    session.execute(_LOCK_LOOKS, {"looks": may_be})
    return list(session.execute(_ALIKE, {"looks": may_be, "id": product.id}))


def add_looks(session: Session, product: Row[Any]) -> None:
    """Store what this product's SKU may be read as, unless it is stored."""
    rows = [{"look": look, "product_id": product.id} for look in sorted(looks(product.sku))]
    session.execute(insert(sku_looks).values(rows).on_conflict_do_nothing())
