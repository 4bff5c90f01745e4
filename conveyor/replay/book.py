"""An order book: the invoices, products and prices in a file, and what was decided about it.

It is read twice: first for what all rows together say about how each one is meant, then for the orders. Neither reading
holds it in memory. What cannot be an order line is dropped with the number of its line and the reason.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from conveyor.replay import decided
from conveyor.replay.formats import Header
from conveyor.replay.json_lines import JsonReading
from conveyor.replay.line import LineReader
from conveyor.replay.reading import Reading
from conveyor.replay.rejected import as_written
from conveyor.replay.settle import settle
from conveyor.replay.store import Store
from conveyor.replay.survey import Survey
from conveyor.tables.cells import text_of
from conveyor.tables.dates import DateSurvey
from conveyor.tables.encodings import encoding_of
from conveyor.tables.errors import NoHeader, TableError
from conveyor.tables.kinds import Kind, kind_of
from conveyor.tables.source import opened
from conveyor.tables.table import Asked, lines_of, named, table_in

MOST_LINES = 1_000
MOST_UNITS = 100_000


class NoOrderBook(TableError):
    """This file is no order book."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator has said about a file, in the words of ``conveyor replay --help``; None is "find out"."""

    encoding: str | None = None
    sheet: str | None = None
    decimal: str | None = None
    dates: str | None = None
    format: str = "auto"
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: str = "auto"
    keep_repeats: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """A line of the file that is not sent: its number, from 1, why, and the line itself."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One product on an invoice; ``number`` and ``text`` are the line of the file that it comes from.

    ``product_id`` is this shop's own id, where the book has that instead of a stock code, and ``price`` what it says.
    """

    sku: str
    quantity: int
    number: int
    text: str
    product_id: str = ""
    price: str = ""


@dataclass(slots=True)
class Invoice:
    """One order to be: who bought what. ``customer`` is empty for the guest, ``country`` where none is given.

    ``customer_id`` is this shop's own id, where the book has that.
    """

    number: str
    customer: str
    country: str
    date: datetime | None
    items: list[Item] = field(default_factory=list)
    customer_id: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the book. ``price`` is its first price above 0, ``demand`` the units that all invoices ask for."""

    sku: str
    name: str
    price: Decimal
    demand: int


@dataclass(frozen=True, slots=True)
class Book:
    """A whole order book in memory. ``lines`` counts the records below the header, dropped ones included."""

    encoding: str
    header: Reject
    lines: int
    invoices: list[Invoice]
    products: dict[str, Product]
    rejects: list[Reject]


@dataclass(frozen=True, slots=True)
class OpenBook:
    """An order book whose orders and rejects come one by one. ``said``: what was decided, a phrase for each subject.

    ``reasons``: how many lines are dropped under which rule. ``period``: the first and the last date.
    """

    encoding: str
    header: Reject
    lines: int
    orders: int
    products: dict[str, Product]
    reasons: dict[str, int]
    period: tuple[datetime, datetime] | None
    said: dict[str, str]
    store: Store
    most_lines: int

    def rejects(self) -> Iterator[Reject]:
        """What is not sent, in the order of the file."""
        for number, reason, text in self.store.rejects():
            yield Reject(number, reason, text)

    def invoices(self, limit: int | None = None) -> Iterator[Invoice]:
        """The first orders, in the order of the file; one of more lines than an order may have comes as several."""
        sent = 0
        for invoice in self._whole():
            for part, begin in enumerate(range(0, len(invoice.items), self.most_lines), start=1):
                if limit is not None and sent >= limit:
                    return
                sent += 1
                yield _part(invoice, part, invoice.items[begin : begin + self.most_lines])

    def _whole(self) -> Iterator[Invoice]:
        found = self.store.execute(
            "SELECT orders.rowid, lines.invoice, number, sku, quantity, customer, country, day_first, month_first, "
            "product_id, customer_id, price, raw FROM orders JOIN lines USING (invoice) ORDER BY orders.rowid, lines.id"
        )
        invoice, at = Invoice("", "", "", None), None
        for order, number, line, sku, quantity, customer, country, day, month, product, account, price, raw in found:
            if order != at:
                if invoice.items:
                    yield invoice
                invoice, at = Invoice(number, "", "", _moment(day, month)), order
            # The first line that names a customer or a country says it for all.
            invoice.customer = invoice.customer or customer
            invoice.customer_id = invoice.customer_id or account
            invoice.country = invoice.country or country
            invoice.items.append(Item(sku, quantity, line, raw, product, price))
        if invoice.items:
            yield invoice


def read_book(raw: bytes, answers: Answers = Answers(), *, most_lines: int = MOST_LINES) -> Book:
    """The order book in these bytes, as a whole. Raises NoOrderBook, Unreadable and Uncertain."""
    with book_in(BytesIO(raw), answers, most_lines=most_lines) as book:
        return Book(book.encoding, book.header, book.lines, list(book.invoices()), book.products, list(book.rejects()))


@contextmanager
def opened_book(
    file: Path, answers: Answers = Answers(), *, most_lines: int = MOST_LINES, most_units: int = MOST_UNITS
) -> Iterator[OpenBook]:
    """The order book in this file, or in the rejects that an earlier replay has listed, as long as it is open.

    ``most_lines`` and ``most_units`` are the gateway's limits: an invoice of more lines becomes several orders, a
    line of more units is dropped. Raises NoOrderBook, Unreadable and Uncertain, in a line that names the file.
    """
    with opened(file) as source:
        with named(file):
            store, book = _read(source, answers, most_lines, most_units)
        try:
            yield book
        finally:
            store.close()


@contextmanager
def book_in(
    source: BinaryIO, answers: Answers = Answers(), *, most_lines: int = MOST_LINES, most_units: int = MOST_UNITS
) -> Iterator[OpenBook]:
    """The same of a file that is open; the errors do not name it."""
    store, book = _read(source, answers, most_lines, most_units)
    try:
        yield book
    finally:
        store.close()


def _read(source: BinaryIO, answers: Answers, most_lines: int, most_units: int) -> tuple[Store, OpenBook]:
    store = Store()
    try:
        if kind_of(source) is Kind.JSON_LINES or _lists_json_lines(source, answers):
            return store, _json_book(source, answers, store, most_lines, most_units)
        return store, _table_book(source, answers, store, most_lines, most_units)
    except BaseException:
        store.close()
        raise


def _lists_json_lines(source: BinaryIO, answers: Answers) -> bool:
    """Whether these are the rejects of a book of JSON lines."""
    if kind_of(source) is not Kind.TEXT:
        return False
    encoding = encoding_of(source, answers.encoding).name
    return next(as_written(lines_of(source, encoding)), "").startswith("{")


def _table_book(source: BinaryIO, answers: Answers, store: Store, most_lines: int, most_units: int) -> OpenBook:
    header = Header(answers.format, answers.mapped)
    try:
        table = table_in(source, header, Asked(answers.encoding, answers.sheet), unwrap=as_written)
    except NoHeader as error:
        raise NoOrderBook(decided.no_header(header, answers)) from error
    columns = header.columns([text_of(each) for each in table.header.cells])
    survey = Survey(columns, DateSurvey(answers.dates)).take(table.rows())
    by_uci = answers.rules == "uci" or (answers.rules == "auto" and survey.is_uci)
    reader = LineReader(columns, survey.numbers.decide(answers.decimal), survey.order(by_uci), by_uci, most_units)
    said = decided.of_table(table, survey, answers, by_uci)
    for row in table.above:
        store.reject(row.number, "above the header", row.text)
    reading = Reading(reader, table.header, store, separator=table.separator)
    reading.take_all(table.rows())
    said |= decided.of_reading(reading, columns)
    names = Reject(table.header.number, "names the columns", table.header.text)
    return _settled(table.encoding or table.kind.value, names, reading, said, store, answers, most_lines)


def _json_book(source: BinaryIO, answers: Answers, store: Store, most_lines: int, most_units: int) -> OpenBook:
    encoding = encoding_of(source, answers.encoding)
    reading = JsonReading(store, most_units)
    reading.take_all(as_written(lines_of(source, encoding.name)))
    said = {"file": f"JSON lines in {encoding.name} ({encoding.why})", "format": "orders as POST /orders takes them"}
    if reading.unread:
        said["left alone"] = ", ".join(sorted(reading.unread)[:10])
    return _settled(encoding.name, Reject(0, "", ""), reading, said, store, answers, most_lines)


def _settled(
    encoding: str,
    header: Reject,
    reading: Reading | JsonReading,
    said: dict[str, str],
    store: Store,
    answers: Answers,
    most_lines: int,
) -> OpenBook:
    found = settle(store, keep_repeats=answers.keep_repeats, prices=reading.prices)
    said |= {subject: "; ".join(phrases) for subject, phrases in found.items() if phrases}
    parts = store.execute("SELECT COALESCE(SUM((items + ? - 1) / ?), 0) FROM orders", most_lines, most_lines)
    return OpenBook(
        encoding, header, reading.lines, parts.fetchone()[0], _products(store, reading), store.reasons(),
        _period(store), said, store, most_lines,
    )  # fmt: skip


def _products(store: Store, reading: Reading | JsonReading) -> dict[str, Product]:
    """The products that the orders ask for, in the order in which they are first asked for."""
    asked = "SELECT sku, SUM(quantity) FROM lines WHERE product_id = '' GROUP BY sku ORDER BY MIN(id)"
    return {
        sku: Product(sku, reading.names.get(sku, sku), reading.prices[sku], units)
        for sku, units in store.execute(asked)
    }


def _period(store: Store) -> tuple[datetime, datetime] | None:
    """The first and the last date, None where there is none or where they are not certain."""
    found = "SELECT MIN(day_first), MAX(day_first), MIN(month_first), MAX(month_first) FROM lines"
    first, last, *others = store.execute(found).fetchone()
    if first is None or [first, last] != others:
        return None
    return _date(first), _date(last)


def _moment(day_first: float | None, month_first: float | None) -> datetime | None:
    return _date(day_first) if day_first is not None and day_first == month_first else None


def _date(seconds: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)


def _part(invoice: Invoice, part: int, items: list[Item]) -> Invoice:
    number = invoice.number if part == 1 else f"{invoice.number} ({part})"
    return Invoice(number, invoice.customer, invoice.country, invoice.date, items, invoice.customer_id)
