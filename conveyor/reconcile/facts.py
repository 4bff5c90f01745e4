"""What the three databases say of an order: one row from each, read by ranges of order ids and merged by id.

The reading is cut into ranges so that the three databases are asked about an order at nearly the same moment, and no
transaction stays open for long. Lines and holdings come as texts, ``product=units,product=units`` by product id, added
up by the database: two of them are compared as they are, whatever the number of lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

from sqlalchemy import text

from conveyor.databases import Readable

#: Orders of one range.
RANGE = 2_000


class InSales(NamedTuple):
    """An order, its lines and its saga. ``worth`` is the sum of units times price, None without priced lines."""

    order_id: str
    status: str
    total: Decimal | None
    delivery_status: str | None
    delivery_version: int
    flagged: bool
    changed_at: datetime
    saga_kind: str | None
    saga_open: bool
    lines: str
    worth: Decimal | None
    unpriced: bool


class InInventory(NamedTuple):
    """An order's reservation (``state`` is None where there is none), and what it holds by the ledger.

    ``copies`` counts its reservations; several are told by one of them.
    """

    order_id: str
    state: str | None
    held: str
    changed_at: datetime
    copies: int


class InDelivery(NamedTuple):
    """An order's delivery; ``copies`` is 1 unless the order has several, which are then told by one of them.

    ``delivered``: its log has a scan, or a move, that says so.
    """

    order_id: str
    status: str
    version: int
    copies: int
    changed_at: datetime
    delivered: bool


class Facts(NamedTuple):
    """Everything known of one order; None where that database has never heard of it."""

    order_id: str
    sales: InSales | None
    inventory: InInventory | None
    delivery: InDelivery | None


_SALES = """
SELECT CAST(orders.id AS text), status, total_amount, delivery_status, delivery_version, needs_attention, updated_at,
       saga.kind, saga.order_id IS NOT NULL AND saga.closed_at IS NULL,
       coalesce(lines, ''), worth, coalesce(unpriced, false)
FROM orders
LEFT JOIN (SELECT order_id, kind, closed_at FROM order_sagas WHERE {order_id}) AS saga ON saga.order_id = orders.id
LEFT JOIN (
    SELECT order_id, string_agg(product_id || '=' || units, ',' ORDER BY product_id) AS lines,
           sum(worth) AS worth, bool_or(unpriced) AS unpriced
    FROM (SELECT order_id, product_id, sum(quantity) AS units, sum(quantity * price) AS worth,
                 bool_or(price IS NULL) AS unpriced
          FROM order_items WHERE {order_id} GROUP BY order_id, product_id) AS by_product
    GROUP BY order_id) AS summed ON summed.order_id = orders.id
WHERE {orders.id} ORDER BY orders.id"""

_INVENTORY = """
SELECT CAST(coalesce(decided.order_id, booked.order_id) AS text), state, coalesce(held, ''),
       greatest(decided.updated_at, booked.at), coalesce(copies, 0)
FROM (SELECT order_id, min(state) AS state, max(updated_at) AS updated_at, count(*) AS copies
      FROM reservations WHERE {order_id} GROUP BY order_id) AS decided
FULL JOIN (
    SELECT order_id, max(at) AS at,
           string_agg(product_id || '=' || units, ',' ORDER BY product_id) FILTER (WHERE units <> 0) AS held
    FROM (SELECT order_id, product_id, -sum(quantity) AS units, max(created_at) AS at
          FROM stock_movements WHERE order_id IS NOT NULL AND {order_id} GROUP BY order_id, product_id) AS by_product
    GROUP BY order_id) AS booked ON booked.order_id = decided.order_id
ORDER BY coalesce(decided.order_id, booked.order_id)"""

_DELIVERY = """
SELECT CAST(order_id AS text), (array_agg(status ORDER BY version DESC, id))[1], max(version), count(*),
       max(updated_at), bool_or(EXISTS (
           SELECT FROM delivery_logs WHERE delivery_id = deliveries.id AND delivery_logs.status = 'DELIVERED'))
FROM deliveries WHERE {order_id} GROUP BY order_id ORDER BY order_id"""

Row = TypeVar("Row", InSales, InInventory, InDelivery)


def every_order(databases: Readable) -> Iterator[Facts]:
    """The facts of every order that any of the databases knows, sorted by id."""
    start: str | None = None
    while True:
        end = _end_of_range(databases, start)
        # A bound that is None is folded away by the planner.
        yield from _merged(
            databases, "({id} >= :start OR :start IS NULL) AND ({id} < :end OR :end IS NULL)", start, end
        )
        if end is None:
            return
        start = end


def these_orders(databases: Readable, order_ids: Sequence[str]) -> Iterator[Facts]:
    """The facts of these orders, as they are now; an order that nobody knows any more is left out."""
    for first in range(0, len(order_ids), RANGE):
        ids = list(order_ids[first : first + RANGE])
        yield from _merged(databases, "{id} = ANY(CAST(:ids AS uuid[]))", ids=ids)


def _end_of_range(databases: Readable, start: str | None) -> str | None:
    """The first order id behind the range that begins here; None where it goes to the end."""
    with databases.reading("sales") as connection:
        found = connection.execute(
            text(
                "SELECT CAST(id AS text) FROM orders WHERE id >= :start OR :start IS NULL ORDER BY id OFFSET :n LIMIT 1"
            ),
            {"start": start, "n": RANGE},
        )
        return found.scalar()


def _merged(
    databases: Readable,
    condition: str,
    start: str | None = None,
    end: str | None = None,
    ids: list[str] | None = None,
) -> Iterator[Facts]:
    """The rows of the three databases that meet the condition, side by side: a full outer merge of sorted streams."""
    values = {"start": start, "end": end, "ids": ids}
    # Sales is read last: an order is then at least as far as its stock and its parcel were seen to be.
    delivery = _stream(databases, "delivery", _DELIVERY, condition, values, InDelivery)
    inventory = _stream(databases, "inventory", _INVENTORY, condition, values, InInventory)
    sales = _stream(databases, "sales", _SALES, condition, values, InSales)
    parcel, stock, order = next(delivery, None), next(inventory, None), next(sales, None)
    while heads := [each.order_id for each in (parcel, stock, order) if each]:
        order_id = min(heads)
        yield Facts(
            order_id,
            order if order and order.order_id == order_id else None,
            stock if stock and stock.order_id == order_id else None,
            parcel if parcel and parcel.order_id == order_id else None,
        )
        if parcel and parcel.order_id == order_id:
            parcel = next(delivery, None)
        if stock and stock.order_id == order_id:
            stock = next(inventory, None)
        if order and order.order_id == order_id:
            order = next(sales, None)


def _stream(
    databases: Readable, service: str, query: str, condition: str, values: Mapping[str, object], shape: type[Row]
) -> Iterator[Row]:
    statement = chosen(query, condition)
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    with databases.reading(service) as connection:
        for row in connection.execute(text(statement), used):
            yield shape(*row)


def chosen(query: str, condition: str) -> str:
    """One of the queries above, for the orders whose ``{id}`` meets the condition."""
    for column in ("order_id", "orders.id"):
        query = query.replace("{" + column + "}", f"({condition.format(id=column)})")
    return query
