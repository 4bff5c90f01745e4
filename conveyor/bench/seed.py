"""A large shop by SQL alone: orders that have ended, with everything that the three databases know of each.

Every database makes its own rows from the order's number, the same ids in all three, so that they agree with each
other: what became of an order is a matter of its number. The stock that they took is booked in beforehand.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from chassis.settings import Settings
from conveyor.bench.run import say
from conveyor.bench.sql import connect

#: Orders of one transaction.
CHUNK = 50_000
#: The orders are as old as this, in seconds, and as young: shipped ones are not yet asked after.
OLDEST, YOUNGEST = 72_000, 600

#: Six of ten wait for their parcel to leave, three are delivered, one was rejected.
_NUMBERED = """
seeded AS MATERIALIZED (
    SELECT n, at, CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7'
                || substr(md5(CAST(n AS text)), 1, 3) || '8' || substr(md5(%(run)s || n), 1, 15) AS uuid) AS id,
           CASE WHEN n %% 10 < 6 THEN 'Pending Shipment' WHEN n %% 10 < 9 THEN 'Delivered'
                ELSE 'Rejected' END AS status,
           CASE WHEN n %% 10 < 6 THEN 1 WHEN n %% 10 < 9 THEN 3 ELSE 0 END AS version,
           1 + n %% 3 AS units,
           CAST(n * 7919 %% cardinality(%(products)s) AS int) AS a,
           CAST((n * 7919 + 1 + n %% (cardinality(%(products)s) - 1)) %% cardinality(%(products)s) AS int) AS b
    FROM (SELECT n, CAST(%(start)s AS timestamptz) + n * CAST(%(step)s AS interval) AS at
          FROM generate_series(CAST(%(first)s AS bigint), %(last)s) AS n) AS numbered),
lines AS (SELECT seeded.*, (CAST(%(products)s AS uuid[]))[1 + product] AS product_id, place
          FROM seeded CROSS JOIN LATERAL (VALUES (a, 0), (b, 1)) AS two (product, place))"""

_SALES = f"""
WITH {_NUMBERED}, placed AS (
    INSERT INTO orders (id, customer_id, status, reason, total_amount, currency, delivery_address, client,
        idempotency_key, request_hash, delivery_status, delivery_version, version, created_at, updated_at)
    SELECT id, (CAST(%(customers)s AS uuid[]))[CAST(1 + n / 10 %% cardinality(%(customers)s) AS int)], status,
        CASE WHEN version = 0 THEN 'insufficient_stock' END, 10 * units, 'EUR', '1 High Street', 'bench',
        CAST(id AS text), md5(CAST(n AS text)) || md5(CAST(n AS text)),
        CASE version WHEN 1 THEN 'PENDING' WHEN 3 THEN 'DELIVERED' END, version, 3, at, at + interval '1 second'
    FROM seeded ORDER BY n),
bought AS (
    INSERT INTO order_items (order_id, product_id, product_name, quantity, price)
    SELECT id, product_id, 'Bench product', units, 5.00 FROM lines ORDER BY n, place),
told AS (
    INSERT INTO order_events (order_id, at, kind, number, from_status, to_status, actor, correlation_id)
    SELECT id, at + interval '1 second' * turn, kind, number, was, became, actor, md5(CAST(n AS text))
    FROM seeded CROSS JOIN LATERAL (VALUES
        (0, 'placed', 0, NULL, 'Pending', 'customer', true),
        (1, 'priced', 0, 'Pending', 'Pending', 'inventory', version > 0),
        (2, 'delivery', 1, 'Pending', 'Pending Shipment', 'delivery', version > 0),
        (3, 'delivery', 3, 'Pending Shipment', 'Delivered', 'delivery', version > 1),
        (4, 'rejected', 0, 'Pending', 'Rejected', 'inventory', version = 0)
    ) AS event (turn, kind, number, was, became, actor, happened) WHERE happened ORDER BY n, turn)
INSERT INTO order_sagas (order_id, kind, no, correlation_id, started_at, sent_at, closed_at, reached_end)
SELECT id, 'place', 0, md5(CAST(n AS text)), at, at, at + interval '1 second', true FROM seeded ORDER BY n"""

_INVENTORY = f"""
WITH {_NUMBERED}, decided AS (
    INSERT INTO reservations (order_id, state, reason, detail, created_at, updated_at)
    SELECT id, CASE WHEN version > 0 THEN 'held' ELSE 'refused' END,
        CASE WHEN version = 0 THEN 'insufficient_stock' END,
        CASE WHEN version = 0 THEN 'There was none left.' END, at, at
    FROM seeded ORDER BY n),
moves AS (
    SELECT product_id, id AS order_id, 'reserve' AS movement_type, -units AS quantity, 'order' AS reason, at, n, place
    FROM lines WHERE version > 0
    UNION ALL
    SELECT product_id, NULL, 'adjust', sum(units), 'stock for what the benchmark puts in', min(at), 0, 0
    FROM lines WHERE version > 0 GROUP BY product_id)
INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason, created_at)
SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7' || substr(unique_, 1, 3) || '8'
    || substr(unique_, 4, 15) AS uuid), product_id, order_id, movement_type, quantity, reason, at
FROM (SELECT moves.*, md5(%(run)s || product_id || coalesce(order_id, product_id) || at) AS unique_ FROM moves) AS known
ORDER BY n, place"""

_DELIVERY = f"""
WITH {_NUMBERED}, made AS (
    INSERT INTO deliveries (order_id, status, address, version, created_at, updated_at)
    SELECT id, CASE version WHEN 1 THEN 'PENDING' ELSE 'DELIVERED' END, '1 High Street', version, at, at
    FROM seeded WHERE version > 0 ORDER BY n RETURNING id, version, created_at)
INSERT INTO delivery_logs (delivery_id, status, timestamp)
SELECT id, status, created_at + interval '1 second' * turn
FROM made CROSS JOIN LATERAL (VALUES (1, 'PENDING'), (2, 'IN_TRANSIT'), (3, 'DELIVERED')) AS move (turn, status)
WHERE turn <= version ORDER BY id, turn"""

STATEMENTS = {"sales": _SALES, "inventory": _INVENTORY, "delivery": _DELIVERY}
TABLES = {
    "sales": ("orders", "order_items", "order_events", "order_sagas"),
    "inventory": ("reservations", "stock_movements", "products"),
    "delivery": ("deliveries", "delivery_logs"),
}


def seed(settings: Settings, run: str, orders: int, customers: Sequence[str], products: Sequence[str]) -> None:
    """Put so many ended orders of these customers and products into the databases, all three at once.

    ``run``: a word that makes the ids of this seeding its own. Raises psycopg2's errors.
    """
    values: dict[str, object] = {
        "run": run,
        "customers": list(customers),
        "products": list(products),
        "start": None,
        "step": f"{(OLDEST - YOUNGEST) / orders} seconds",
    }
    with ThreadPoolExecutor(len(STATEMENTS)) as pool:
        values["start"] = _start(settings)
        for done in [pool.submit(_fill, settings, service, orders, values) for service in STATEMENTS]:
            done.result()


def _fill(settings: Settings, service: str, orders: int, values: dict[str, object]) -> None:
    with closing(connect(settings.database_url(service))) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for first in range(0, orders, CHUNK):
            chunk = {"first": first, "last": min(first + CHUNK, orders) - 1}
            cursor.execute(STATEMENTS[service], {**values, **chunk})
            connection.commit()
            if (first // CHUNK) % 4 == 3:
                say(f"    {service}: {chunk['last'] + 1:,} of {orders:,} orders")
        connection.autocommit = True
        for table in TABLES[service]:
            cursor.execute(f"VACUUM ANALYZE {table}")


def _start(settings: Settings) -> object:
    with closing(connect(settings.database_url("sales"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT now() - CAST(%s AS interval)", (f"{OLDEST} seconds",))
        row = cursor.fetchone()
        assert row is not None
        return row[0]
