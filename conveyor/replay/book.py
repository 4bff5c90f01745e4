"""An order book: its invoices, its products and their prices, and what of it is not sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from chassis.lookalikes import alike_before, looks
from conveyor.replay.store import Store


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


class Products(Mapping[str, Product]):
    """The products that the orders of an open book ask for, by stock code, in the order of the first that asks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, sku: str) -> Product:
        found = self._store.execute("SELECT name, price, demand FROM products WHERE sku = ?", sku).fetchone()
        if found is None:
            raise KeyError(sku)
        name, price, demand = found
        return Product(sku, name, Decimal(price), demand)

    def __iter__(self) -> Iterator[str]:
        for (sku,) in self._store.execute("SELECT sku FROM products ORDER BY rowid"):
            yield sku

    def __len__(self) -> int:
        return int(self._store.execute("SELECT COUNT(*) FROM products").fetchone()[0])

    def alike(self) -> dict[str, str]:
        """Those that look like one before them, and which one that is.

        Only codes that may look like another are compared, so that a million of them need not be held: of plain ASCII
        those that are equal but for case, and the others with whatever they look like.
        """
        self._store.execute("CREATE INDEX IF NOT EXISTS by_look ON products (lower(sku))")
        others = [sku for (sku,) in self._store.execute("SELECT sku FROM products WHERE sku GLOB '*[^ -~]*'")]
        self._store.execute("CREATE TEMP TABLE IF NOT EXISTS looks (look TEXT PRIMARY KEY)")
        for look in {look for sku in others for look in looks(sku)}:
            self._store.execute("INSERT OR IGNORE INTO looks VALUES (?)", look)
        found = self._store.execute(
            "SELECT sku FROM products WHERE sku GLOB '*[^ -~]*' OR lower(sku) IN (SELECT look FROM looks) "
            "OR lower(sku) IN (SELECT lower(sku) FROM products GROUP BY lower(sku) HAVING COUNT(*) > 1) ORDER BY rowid"
        )
        return alike_before(sku for (sku,) in found.fetchall())


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
    units: int
    products: Products
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


def _moment(day_first: float | None, month_first: float | None) -> datetime | None:
    return date_of(day_first) if day_first is not None and day_first == month_first else None


def date_of(seconds: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)


def _part(invoice: Invoice, part: int, items: list[Item]) -> Invoice:
    number = invoice.number if part == 1 else f"{invoice.number} ({part})"
    return Invoice(number, invoice.customer, invoice.country, invoice.date, items, invoice.customer_id)
