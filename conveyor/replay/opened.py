"""An order book: the invoices, products and prices in a file, and what was decided about it.

It is read twice: first for what all rows together say about how each one is meant, then for the orders. Neither reading
holds it in memory. What cannot be an order line is dropped with the number of its line and the reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from conveyor.replay import decided
from conveyor.replay.answers import NOTHING_SAID, Answers
from conveyor.replay.book import Book, OpenBook, Products, Reject, date_of
from conveyor.replay.columns import Header
from conveyor.replay.json_lines import JsonReading
from conveyor.replay.line import LineReader
from conveyor.replay.reading import Reading
from conveyor.replay.rejected import as_written
from conveyor.replay.settle import settle
from conveyor.replay.store import ABOVE, Store
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


def read_book(raw: bytes, answers: Answers = NOTHING_SAID, *, most_lines: int = MOST_LINES) -> Book:
    """The order book in these bytes, as a whole. Raises NoOrderBook, Unreadable and Uncertain."""
    with book_in(BytesIO(raw), answers, most_lines=most_lines) as book:
        invoices, products, rejects = list(book.invoices()), dict(book.products), list(book.rejects())
        return Book(book.encoding, book.header, book.lines, invoices, products, rejects)


@contextmanager
def opened_book(
    file: Path, answers: Answers = NOTHING_SAID, *, most_lines: int = MOST_LINES, most_units: int = MOST_UNITS
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
    source: BinaryIO, answers: Answers = NOTHING_SAID, *, most_lines: int = MOST_LINES, most_units: int = MOST_UNITS
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
        store.reject(row.number, ABOVE, row.text)
    reading = Reading(reader, table.header, store, separator=table.separator)
    reading.take_all(table.rows())
    said |= decided.of_reading(reading, columns)
    names = Reject(table.header.number, "names the columns", table.header.text)
    return _settled(table.encoding or table.kind.value, names, reading, said, store, answers, most_lines)


def _json_book(source: BinaryIO, answers: Answers, store: Store, most_lines: int, most_units: int) -> OpenBook:
    encoding = encoding_of(source, answers.encoding)
    reading = JsonReading(store, most_units)
    reading.take_all(as_written(lines_of(source, encoding.name)))
    said = {"file": f"JSON lines in {encoding.said}", "format": "orders as POST /orders takes them"}
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
    found = settle(store, keep_repeats=answers.keep_repeats)
    said |= {subject: "; ".join(phrases) for subject, phrases in found.items() if phrases}
    counted = "SELECT COALESCE(SUM((items + ? - 1) / ?), 0), COALESCE(SUM(units), 0) FROM orders"
    orders, units = store.execute(counted, most_lines, most_lines).fetchone()
    return OpenBook(
        encoding=encoding,
        header=header,
        lines=reading.lines,
        orders=orders,
        units=units,
        products=Products(store),
        reasons=store.reasons(),
        period=_period(store),
        said=said,
        store=store,
        most_lines=most_lines,
    )


def _period(store: Store) -> tuple[datetime, datetime] | None:
    """The first and the last date, None where there is none or where they are not certain."""
    found = "SELECT MIN(day_first), MAX(day_first), MIN(month_first), MAX(month_first) FROM lines"
    first, last, *others = store.execute(found).fetchone()
    if first is None or [first, last] != others:
        return None
    return date_of(first), date_of(last)
