"""What a book's rows came to, kept in a database without a name: in memory while it is small, on disk beyond that.

An order may stand anywhere in its book, and what it is worth shows at the end only: whether its block stands there
twice, whether two customers share its number. So a million lines are put aside first, and come back order by order.
SQLite removes the file as soon as it is made; nothing of it outlives the process.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from conveyor.replay.line import Line
from conveyor.tables.cells import Row

#: KiB of the database that are kept in memory, and rows that are written at a time.
CACHE, BUNDLE = 16_384, 500
#: So many stock codes are remembered as known, so that not every row asks the database.
KNOWN = 20_000
#: Why a line is rejected that stands above the header.
ABOVE = "above the header"

_TABLES = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{CACHE};
CREATE TABLE lines (
    id INTEGER PRIMARY KEY, number INTEGER, block INTEGER, invoice TEXT, sku TEXT, quantity INTEGER, customer TEXT,
    country TEXT, day_first REAL, month_first REAL, product_id TEXT, customer_id TEXT, price TEXT, raw TEXT);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, invoice TEXT, digest BLOB, first INTEGER, doubled INTEGER);
CREATE TABLE refused (invoice TEXT PRIMARY KEY, reason TEXT);
CREATE TABLE rejects (number INTEGER, reason TEXT, raw TEXT);
CREATE TABLE prices (sku TEXT PRIMARY KEY, price TEXT) WITHOUT ROWID;
CREATE TABLE names (sku TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
"""


class Store:
    """The lines, blocks and rejects of one book. To be used by one thread, and closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._database.execute("BEGIN")
        self._lines: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[int, str, str]] = []
        self._blocks: list[tuple[int, str, bytes, int, bool]] = []
        self._prices: dict[str, Decimal] = {}
        self._names: dict[str, str] = {}

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def keep(self, row: Row, line: Line, block: int) -> None:
        """Put a line aside, as one of its block."""
        values = (row.number, block, line.invoice, line.sku, line.quantity, line.customer, line.country)
        rest = (*line.moments, line.product_id, line.customer_id, line.price, row.text)
        self._lines.append(values + rest)
        if len(self._lines) >= BUNDLE:
            self._write()

    def end_block(self, number: int, invoice: str, digest: bytes, first: int, doubled: bool) -> None:
        """Neighbouring rows of one order have come to their end; their lines were kept under this number.

        ``doubled``: they are the same few rows again and again.
        """
        self._blocks.append((number, invoice, digest, first, doubled))
        if len(self._blocks) >= BUNDLE:
            self._write()

    def offer(self, sku: str, price: Decimal) -> None:
        """A product has this price; the first one counts."""
        if sku not in self._prices:
            if len(self._prices) >= KNOWN:
                self._write_products()
            self._prices[sku] = price

    def name(self, sku: str, name: str) -> None:
        """A product has this name; the first one counts."""
        if sku not in self._names:
            if len(self._names) >= KNOWN:
                self._write_products()
            self._names[sku] = name

    def reject(self, number: int, reason: str, text: str) -> None:
        """A row is not to be sent."""
        self._rejects.append((number, reason, text))
        if len(self._rejects) >= BUNDLE:
            self._write()

    def refuse(self, invoice: str, reason: str) -> None:
        """None of an order is to be sent; the first reason counts."""
        self._database.execute("INSERT OR IGNORE INTO refused VALUES (?, ?)", (invoice, reason))

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run a statement on everything that was put aside."""
        if self._lines or self._rejects or self._blocks:
            self._write()
        if self._prices or self._names:
            self._write_products()
        return self._database.execute(statement, values)

    def _write_products(self) -> None:
        prices = ((sku, str(price)) for sku, price in self._prices.items())
        self._database.executemany("INSERT OR IGNORE INTO prices VALUES (?, ?)", prices)
        self._database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", self._names.items())
        self._prices.clear()
        self._names.clear()

    def drop(self, which: str, reason: str, *values: object) -> int:
        """Reject the lines for which the condition ``which`` holds; ``reason`` is SQL too. Returns how many."""
        self.execute(f"INSERT INTO rejects SELECT number, {reason}, raw FROM lines WHERE {which}", *values)
        return self._database.execute(f"DELETE FROM lines WHERE {which}", values).rowcount

    def rejects(self) -> Iterator[tuple[int, str, str]]:
        """What is not to be sent, in the order of the file, each row once for each reason."""
        yield from self.execute("SELECT DISTINCT number, reason, raw FROM rejects ORDER BY number")

    def reasons(self) -> dict[str, int]:
        """How many rows are dropped under which rule, the most frequent first: a reason up to its colon.

        What stands above the header is no row of the table.
        """
        rule = "CASE WHEN instr(reason, ': ') THEN substr(reason, 1, instr(reason, ': ') - 1) ELSE reason END"
        times = f"SELECT {rule} AS rule, COUNT(DISTINCT number) AS times FROM rejects WHERE reason <> ? "
        return dict(self.execute(times + "GROUP BY rule ORDER BY times DESC", ABOVE))

    def _write(self) -> None:
        marks = ", ".join("?" * 13)
        self._database.executemany(f"INSERT INTO lines VALUES (NULL, {marks})", self._lines)
        self._database.executemany("INSERT INTO rejects VALUES (?, ?, ?)", self._rejects)
        self._database.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", self._blocks)
        self._blocks.clear()
        self._lines.clear()
        self._rejects.clear()


def texts(found: Iterable[tuple[Any, ...]], most: int = 3) -> str:
    """The first of these single values in words: ``A1, A2, A3 and 4 more``."""
    values = [str(each[0]) for each in found]
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


def counted(number: int, thing: str) -> str:
    """A number of things in words: ``1 order``, ``2,000 orders``."""
    return f"{number:,} {thing}{'s' if number != 1 else ''}"
