"""Is each product's stock the sum of its ledger, and not negative?"""

from collections.abc import Iterator

from sqlalchemy import text

from conveyor.databases import Databases
from conveyor.reconcile.rules import Deviation

#: Products of one statement, which sees stock and ledger at one moment.
BATCH = 500

_PRODUCTS = text(
    "SELECT CAST(product.id AS text), sku, stock_quantity, coalesce(booked, 0)"
    " FROM (SELECT id, sku, stock_quantity FROM products WHERE id > :last OR :last IS NULL ORDER BY id LIMIT :batch)"
    " AS product LEFT JOIN LATERAL"
    " (SELECT sum(quantity) AS booked FROM stock_movements WHERE product_id = product.id) AS ledger ON true"
    " ORDER BY product.id"
)


def every_product(databases: Databases) -> Iterator[list[Deviation]]:
    """For each product what is wrong with it, mostly nothing."""
    last: str | None = None
    while True:
        with databases.reading("inventory") as connection:
            rows = connection.execute(_PRODUCTS, {"last": last, "batch": BATCH}).all()
        for product_id, sku, stock, booked in rows:
            yield list(_deviations(product_id, sku, stock, booked))
        if len(rows) < BATCH:
            return
        last = rows[-1][0]


def _deviations(product_id: str, sku: str, stock: int, booked: int) -> Iterator[Deviation]:
    if stock != booked:
        yield Deviation("stock", product_id, f"{sku} has {stock} in stock", f"{booked}, the sum of its ledger")
    if stock < 0:
        yield Deviation("negative_stock", product_id, f"{sku} has {stock} in stock", "0 or more")
