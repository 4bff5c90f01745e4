"""A book is not held in memory: what reading it takes does not grow with it."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from conveyor.replay.book import Invoice, OpenBook
from conveyor.replay.opened import opened_book

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
#: Bytes that reading five times as much may take more: what is remembered of texts that repeat.
MORE = 1_200_000


def peak(file: Path, orders: int, use: Callable[[OpenBook], object]) -> int:
    """The most bytes that Python holds while a book of so many orders, of four lines each, is read and used."""
    lines = (
        f"O-{order},SKU-{order % 50}{at},Product,1,2026-05-04 {order % 24:02}:00:00,2.50,{order},Norway\n"
        for order in range(orders)
        for at in range(4)
    )
    file.write_text(HEADER + "".join(lines))
    tracemalloc.start()
    try:
        with opened_book(file) as book:
            use(book)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def count(book: OpenBook) -> int:
    return sum(1 for _ in book.invoices())


def hold(book: OpenBook) -> list[Invoice]:
    return list(book.invoices())


@pytest.mark.parametrize(("use", "is_bounded"), [(count, True), (hold, False)])
def test_what_a_book_takes_does_not_grow_with_it_unless_it_is_held(tmp_path: Path, use, is_bounded: bool) -> None:
    peak(tmp_path / "warm.csv", 100, use)
    small, large = peak(tmp_path / "small.csv", 500, use), peak(tmp_path / "large.csv", 2_500, use)
    assert (large - small < MORE) is is_bounded, (small, large)
