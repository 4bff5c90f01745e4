"""An order book: the invoices, products and prices in a CSV with the columns of the UCI Online Retail set.

    InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country

The columns may stand in any order and beside others. What cannot be an order line is dropped with the number of its
line and the reason; the rest of its invoice stays.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice

from chassis.errors import ConveyorError
from conveyor.replay.line import Line, NotAnOrderLine, invoice_date, offer, order_line
from conveyor.replay.rejected import as_written
from conveyor.replay.table import Row, decode, rows

#: Other spellings of the columns, as in the second edition of the set.
ALIASES = {"invoice": "invoiceno", "price": "unitprice", "customer": "customerid"}
NEEDED = {"invoiceno": "InvoiceNo", "stockcode": "StockCode", "quantity": "Quantity", "unitprice": "UnitPrice"}
#: The header is looked for in so many lines; some exports put a title above it.
HEADER_WITHIN = 10

MOST_LINES = 1_000
MOST_UNITS = 100_000


class NoOrderBook(ConveyorError):
    """These bytes are no order book."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line of the file that is not sent: its number, from 1, why, and the line itself."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One product on an invoice; ``number`` and ``text`` are the line of the file that it comes from."""

    sku: str
    quantity: int
    number: int
    text: str


@dataclass(slots=True)
class Invoice:
    """One order to be: who bought what. ``customer`` is empty for the guest, ``country`` where none is given."""

    number: str
    customer: str
    country: str
    date: datetime | None
    items: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the book. ``price`` is its first price above 0, ``demand`` the units that all invoices ask for."""

    sku: str
    name: str
    price: Decimal
    demand: int


@dataclass(frozen=True, slots=True)
class Book:
    """What is in an order book. ``lines`` counts the records below the header, dropped ones included."""

    encoding: str
    header: Reject
    lines: int
    invoices: list[Invoice]
    products: dict[str, Product]
    rejects: list[Reject]


def read_book(raw: bytes, *, most_lines: int = MOST_LINES, most_units: int = MOST_UNITS) -> Book:
    """The order book in these bytes, or in the rejects that an earlier replay has listed. Raises NoOrderBook.

    ``most_lines`` and ``most_units`` are the gateway's limits: an invoice of more lines becomes several orders, a
    line of more units is dropped.
    """
    text, encoding = decode(raw)
    records = rows(as_written(text))
    rejects: list[Reject] = []
    header, columns = _header(records, rejects)
    reading = _Reading(columns, len(header.fields), most_units, rejects)
    for row in records:
        reading.take(row)
    kept = list(reading.priced_invoices())
    products = {each.sku: each for each in reading.products(kept)}
    rejects.sort(key=lambda each: each.number)
    names = Reject(header.number, "names the columns", header.text)
    return Book(encoding, names, reading.lines, list(_split(kept, most_lines)), products, rejects)


class _Reading:
    """What is known so far while a book is read from top to bottom."""

    def __init__(self, columns: Mapping[str, int], width: int, most_units: int, rejects: list[Reject]) -> None:
        self.columns, self.width, self.most_units, self.rejects = columns, width, most_units, rejects
        self.lines = 0
        self.prices: dict[str, Decimal] = {}
        self.names: dict[str, str] = {}
        self.invoices: dict[str, Invoice] = {}

    def take(self, row: Row) -> None:
        """Read one record below the header."""
        self.lines += 1
        row = _fitted(row, self.width)
        if len(row.fields) != self.width:
            self.reject(row, f"broken row: {len(row.fields)} columns where the header has {self.width}")
            return
        offered = offer(row, self.columns)
        if offered:
            self.prices.setdefault(*offered)
        try:
            self.add(row, order_line(row, self.columns, self.most_units))
        except NotAnOrderLine as why:
            self.reject(row, str(why))

    def reject(self, row: Row, reason: str) -> None:
        """Drop a record."""
        self.rejects.append(Reject(row.number, reason, row.text))

    def add(self, row: Row, line: Line) -> None:
        """Put a line on its invoice. The first line that names a customer or a country says it for all."""
        if line.name:
            self.names.setdefault(line.sku, line.name)
        invoice = self.invoices.get(line.invoice)
        if invoice is None:
            invoice = Invoice(line.invoice, line.customer, line.country, invoice_date(line.date))
            self.invoices[line.invoice] = invoice
        invoice.customer = invoice.customer or line.customer
        invoice.country = invoice.country or line.country
        invoice.items.append(Item(line.sku, line.quantity, row.number, row.text))

    def priced_invoices(self) -> Iterator[Invoice]:
        """The invoices without the lines whose product nowhere has a price; those left empty are left out."""
        for invoice in self.invoices.values():
            for item in invoice.items:
                if item.sku not in self.prices:
                    reason = f"no price: {item.sku} has none above 0 anywhere in the book"
                    self.rejects.append(Reject(item.number, reason, item.text))
            items = [item for item in invoice.items if item.sku in self.prices]
            if items:
                yield replace(invoice, items=items)

    def products(self, invoices: Iterable[Invoice]) -> Iterator[Product]:
        """The products that these invoices ask for, in the order in which they are first asked for."""
        demand: Counter[str] = Counter()
        for invoice in invoices:
            for item in invoice.items:
                demand[item.sku] += item.quantity
        for sku, units in demand.items():
            yield Product(sku, self.names.get(sku, sku), self.prices[sku], units)


def _header(records: Iterator[Row], rejects: list[Reject]) -> tuple[Row, dict[str, int]]:
    """The record that names the columns, and where each stands. Raises NoOrderBook."""
    absent = list(NEEDED.values())
    above: list[Reject] = []
    for row in islice(records, HEADER_WITHIN):
        columns: dict[str, int] = {}
        for at, title in enumerate(row.fields):
            columns.setdefault(_column(title), at)
        missing = [title for name, title in NEEDED.items() if name not in columns]
        if not missing:
            rejects += above
            return row, columns
        absent = min(absent, missing, key=len)
        above.append(Reject(row.number, "above the header", row.text))
    raise NoOrderBook(f"no order book: no line names the column{'s' * (len(absent) > 1)} {', '.join(absent)}")


def _column(title: str) -> str:
    name = "".join(each for each in title.lower() if each.isalnum())
    return ALIASES.get(name, name)


def _fitted(row: Row, width: int) -> Row:
    """The record without the empty columns that some exports add at the end."""
    if len(row.fields) <= width or any(each.strip() for each in row.fields[width:]):
        return row
    return replace(row, fields=row.fields[:width])


def _split(invoices: Iterable[Invoice], most_lines: int) -> Iterator[Invoice]:
    """One order per invoice; an invoice of more lines than an order may have is sent as several, ``536365 (2)``."""
    for invoice in invoices:
        for part, begin in enumerate(range(0, len(invoice.items), most_lines), start=1):
            number = invoice.number if part == 1 else f"{invoice.number} ({part})"
            yield replace(invoice, number=number, items=invoice.items[begin : begin + most_lines])
