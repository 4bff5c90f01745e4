"""The order book that is replayed, on Conveyor and on the naive pipeline: the same orders, the same lines."""

from collections.abc import Mapping
from pathlib import Path

from conveyor import samples
from conveyor.bench.load import request
from conveyor.bench.run import NotMeasured, Options
from conveyor.replay.book import Book
from conveyor.replay.opened import read_book

OURS = Path(samples.__file__).parent / "orders.csv"
#: Where a book lies beside the baseline.
BESIDE = "../data/online_retail_10k.csv"


def file_of(options: Options) -> Path:
    """The book that was named, else the one beside the baseline, else the small one of our own."""
    beside = options.baseline / BESIDE if options.baseline else None
    return options.book or (beside if beside and beside.exists() else OURS)


def read(options: Options) -> Book:
    """The book's orders. Raises NotMeasured where it has none."""
    file = file_of(options)
    found = read_book(file.read_bytes())
    if not found.invoices:
        raise NotMeasured(f"{file} has no orders")
    return found


def requests(url: str, book: Book, products: Mapping[str, str], customer: str, *, naive: bool = False) -> list[bytes]:
    """One order for each invoice; ``products`` are ids by sku. The naive pipeline takes prices and address from us."""
    bodies = []
    for invoice in book.invoices:
        items: list[dict[str, object]] = [
            {"product_id": products[each.sku], "quantity": each.quantity} for each in invoice.items
        ]
        if naive:
            for item, each in zip(items, invoice.items, strict=True):
                item["price"] = str(book.products[each.sku].price)
        bodies.append({"customer_id": customer, "items": items} | ({"address": "1 High Street"} if naive else {}))
    return [request("POST", url, "/orders", each) for each in bodies]
