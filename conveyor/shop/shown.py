"""How products, stock, customers and deliveries look on a terminal."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from conveyor.order.shown import moment

Row = Mapping[str, Any]

#: A number, or an amount of money.
_NUMBER = re.compile(r"[+-]?[\d,.]+( [A-Z]{3})?")


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines of columns that are as wide as they have to be; a column of numbers stands to the right."""
    cells = [[_cell(each) for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    numeric = [all(_NUMBER.fullmatch(row[at]) for row in cells) for at in range(len(titles))]
    for line in (titles, *cells):
        padded = (
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())


def products(found: Iterable[Row]) -> Iterator[str]:
    """A table of products."""
    return table(
        ("SKU", "name", "price", "stock", "status"),
        ((each["sku"], each["name"], price(each), each["stock_quantity"], each["status"]) for each in found),
    )


def product(found: Row) -> Iterator[str]:
    """A product with all that is known of it."""
    yield f"{found['sku']}  {found['name']}"
    yield from _described(
        {
            "price": price(found),
            "stock": f"{found['stock_quantity']:,}",
            "status": found["status"],
            "text": found["description"] or "-",
            "id": found["id"],
            "changed": f"{moment(found['updated_at'])} UTC",
        }
    )


def price(found: Row) -> str:
    return f"{found['price']} {found['currency']}"


def movements(found: Iterable[Row]) -> Iterator[str]:
    """Entries of a stock ledger."""
    return table(
        ("time (UTC)", "kind", "units", "order", "reason"),
        (
            (
                moment(each["created_at"]),
                each["movement_type"],
                f"{each['quantity']:+,}",
                each["order_id"],
                each["reason"],
            )
            for each in found
        ),
    )


def stocks(found: Iterable[Row]) -> Iterator[str]:
    """A table of products that is about how many units there are."""
    return table(("stock", "SKU", "name"), ((each["stock_quantity"], each["sku"], each["name"]) for each in found))


def customers(found: Iterable[Row]) -> Iterator[str]:
    """A table of customers."""
    return table(
        ("id", "registered (UTC)", "name", "e-mail"),
        ((each["id"], moment(each["created_at"]), each["name"], each["email"]) for each in found),
    )


def customer(found: Row) -> Iterator[str]:
    """A customer with all that is known of them."""
    yield f"{found['name']}  {found['email']}"
    yield from _described(
        {
            "phone": found["phone"] or "-",
            "address": " ".join(found["address"].split()),
            "id": found["id"],
            "registered": f"{moment(found['created_at'])} UTC",
        }
    )


def deliveries(found: Iterable[Row]) -> Iterator[str]:
    """A table of deliveries."""
    return table(
        ("id", "order", "made (UTC)", "status"),
        ((each["id"], each["order_id"], moment(each["created_at"]), each["status"]) for each in found),
    )


def delivery(found: Row) -> Iterator[str]:
    """A delivery, and where it has been: each scan with the time at which it happened, and when it came, if later."""
    yield f"{found['id']}  {found['status']}"
    address = " ".join(found["address"].split()) if found["address"] else "- (cancelled before its dispatch)"
    yield from _described({"order": found["order_id"], "to": address})
    for entry in found["log"]:
        came = moment(entry["timestamp"])
        happened = moment(entry.get("occurred_at") or entry["timestamp"])
        late = f"(came {came})" if came != happened else ""
        where = " ".join(each for each in (entry["location"], entry["notes"], late) if each)
        yield f"  {happened}  {entry['status']:<10}  {where}".rstrip()


def _described(facts: Mapping[str, str]) -> Iterator[str]:
    for name, value in facts.items():
        yield f"  {name:<11} {value}"
