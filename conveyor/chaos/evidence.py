"""What the databases say in the end, and everything they know about one order."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from sqlalchemy import text

from conveyor.chaos.parcels import Entry, Parcel
from conveyor.chaos.promises import Evidence, Order
from conveyor.databases import Databases
from conveyor.reconcile.rules import SHIPPING

_ORDERS = text(
    "SELECT CAST(orders.id AS text), idempotency_key, status, orders.reason, needs_attention,"
    " count(*) FILTER (WHERE kind = 'cancel_requested'), count(*) FILTER (WHERE kind = 'cancel_refused'),"
    " count(*) FILTER (WHERE kind = 'scanned')"
    " FROM orders LEFT JOIN order_events ON order_events.order_id = orders.id GROUP BY orders.id"
)
_PARCELS = text(
    "SELECT CAST(order_id AS text), deliveries.status, array_agg(log.status ORDER BY log.id),"
    " array_agg(coalesce(log.occurred_at, log.timestamp) ORDER BY log.id), array_agg(log.event_id ORDER BY log.id)"
    " FROM deliveries JOIN delivery_logs AS log ON delivery_id = deliveries.id GROUP BY order_id, deliveries.status"
)
_STOCK = text("SELECT CAST(id AS text), stock_quantity FROM products")
_SHIPPED = text(
    "SELECT CAST(product_id AS text), sum(quantity) FROM order_items JOIN orders ON orders.id = order_id"
    " WHERE status = ANY(:shipping) GROUP BY product_id"
)
_FLAGS = text(
    "SELECT CAST(order_id AS text), string_agg(order_events.reason, '; ' ORDER BY order_events.id) FROM order_events"
    " WHERE kind = 'needs_attention' GROUP BY order_id ORDER BY order_id"
)

#: All rows about an order, by database: what a table has, in the order in which it is best read.
STORY = {
    "sales": {
        "orders": "SELECT status, reason, needs_attention, delivery_status, delivery_version, version, idempotency_key,"
        " created_at, updated_at FROM orders WHERE id = :id",
        "items": "SELECT product_id, quantity, price FROM order_items WHERE order_id = :id ORDER BY id",
        "saga": "SELECT kind, no, attempts, sends, sent_at, deadline, closed_at FROM order_sagas WHERE order_id = :id",
        "event": "SELECT at, kind, number, from_status, to_status, actor, reason FROM order_events"
        " WHERE order_id = :id ORDER BY id",
        "quarantine": "SELECT message_id, task, state, reason, count, first_seen, last_seen FROM quarantine"
        " WHERE order_id = :id ORDER BY first_seen",
        "outbox": "SELECT id, task, alone, created_at FROM outbox WHERE CAST(bundle AS text) LIKE :like ORDER BY id",
    },
    "inventory": {
        "reservation": "SELECT * FROM reservations WHERE order_id = :id",
        "movement": "SELECT created_at, movement_type, product_id, quantity FROM stock_movements WHERE order_id = :id"
        " ORDER BY created_at",
        "outbox": "SELECT id, task, alone, created_at FROM outbox WHERE CAST(bundle AS text) LIKE :like ORDER BY id",
    },
    "delivery": {
        "delivery": "SELECT id, status, version, cancel_no, created_at, updated_at FROM deliveries"
        " WHERE order_id = :id",
        "log": "SELECT delivery_logs.timestamp, delivery_logs.status, occurred_at, event_id, notes FROM delivery_logs"
        " JOIN deliveries ON deliveries.id = delivery_id WHERE order_id = :id ORDER BY delivery_logs.id",
        "outbox": "SELECT id, task, alone, created_at FROM outbox WHERE CAST(bundle AS text) LIKE :like ORDER BY id",
    },
}


def gather(databases: Databases) -> Evidence:
    """What there is, of all orders. Raises DatabaseDown."""
    with databases.reading("sales") as connection:
        orders = {row[0]: Order(*row) for row in connection.execute(_ORDERS)}
        shipped = connection.execute(_SHIPPED, {"shipping": [str(each) for each in SHIPPING]})
        sold = {product: int(units) for product, units in shipped}
    with databases.reading("delivery") as connection:
        parcels = {
            order_id: Parcel(status, [*map(Entry, *log)]) for order_id, status, *log in connection.execute(_PARCELS)
        }
    with databases.reading("inventory") as connection:
        stock = {product: int(units) for product, units in connection.execute(_STOCK)}
    return Evidence(orders, parcels, stock, sold)


def flags(databases: Databases) -> Mapping[str, str]:
    """The orders that were ever put before people, and why. Raises DatabaseDown."""
    with databases.reading("sales") as connection:
        return {order_id: reason or "no reason" for order_id, reason in connection.execute(_FLAGS)}


def is_id(text: str) -> bool:
    """Whether this may be an order's id: a queue or a key has no story."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def story(databases: Databases, order_id: str) -> Iterator[str]:
    """Everything that is known about one order, a line for each row. Raises DatabaseDown."""
    for service, tables in STORY.items():
        with databases.reading(service) as connection:
            for name, query in tables.items():
                values = {"id": order_id} if ":id" in query else {"like": f"%{order_id}%"}
                for row in connection.execute(text(query), values):
                    fields = (f"{column}={value}" for column, value in row._mapping.items() if value is not None)
                    yield f"{service} {name}: {' '.join(fields)}"
