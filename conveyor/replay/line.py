"""Is this row of an order book an order line? If not, why not?

A row is dropped for what makes it none: its quantity, its price, its columns. Words and letters alone say nothing: a
film may be called Lost, and a size S. What the tills of one shop mean by them is in ``uci``, for its files only.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from hashlib import sha256
from sys import intern

from conveyor.replay import uci
from conveyor.replay.columns import Columns
from conveyor.replay.formats import CANCELLED
from conveyor.tables.cells import ERRORS, Cell, Fault, NoCode, Row, code_of, text_of, words
from conveyor.tables.dates import DMY, MDY, moment_of
from conveyor.tables.numbers import NumberFormat

#: How exports spell "there is nothing here"; a stock code may be called NA.
NOTHING = frozenset({"", "na", "n/a", "nan", "none", "null", "-"})
NO_CODE = NOTHING - {"na"}

#: Units of the currency; what a column of money holds.
LARGEST_PRICE = Decimal("9999999999.99")
LONGEST_CODE = 64
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order, as its row says it; ``customer`` is empty where nobody is named.

    ``moments`` are seconds, in both readings of a date that may be read with the day or the month first; None where
    there is no date. ``product_id`` and ``customer_id`` are the shop's own ids, where a book has those instead.
    """

    invoice: str
    sku: str
    name: str
    quantity: int
    customer: str = ""
    country: str = ""
    moments: tuple[float | None, float | None] = (None, None)
    product_id: str = ""
    customer_id: str = ""
    price: str = ""


class NotAnOrderLine(Exception):
    """This row is no order line; the message says why. ``whole``: and none of its order is to be sent."""

    def __init__(self, why: str, *, whole: bool = False) -> None:
        super().__init__(why)
        self.whole = whole


@dataclass(slots=True)
class LineReader:
    """Reads rows as order lines of at most ``most`` units, by what was decided about their file."""

    columns: Columns
    numbers: NumberFormat = field(default_factory=NumberFormat)
    dates: str | None = None
    by_uci: bool = False
    most: int = 100_000

    def invoice(self, row: Row) -> str:
        """The order's number; empty where the row has none. Raises NotAnOrderLine where it is none to go by."""
        number = self._code(row, "InvoiceNo", "order number")
        if len(number) > LONGEST_CODE:
            raise NotAnOrderLine(f"the order number is longer than {LONGEST_CODE} characters")
        return number

    def line(self, row: Row, invoice: str) -> Line:
        """This row as a line of that order. Raises NotAnOrderLine.

        The price is only checked: an order carries none, and a line that was given away is still an order line.
        """
        self._check_cancelled(row)
        if self.by_uci and uci.is_credit_note(invoice):
            raise NotAnOrderLine(f"credit note (rules uci): {invoice} is C and digits")
        sku, name = self.sku(row), words(self.text(row, "Description"))[:LONGEST_NAME].rstrip()
        if not sku:
            raise NotAnOrderLine("no stock code")
        if len(sku) > LONGEST_CODE:
            raise NotAnOrderLine(f"the stock code is longer than {LONGEST_CODE} characters")
        price = self._price(row)
        if self.by_uci:
            self._check_product(sku, name, price)
        quantity = self._quantity(row)
        return Line(
            invoice=intern(invoice),
            sku=intern(sku),
            name=intern(name),
            quantity=quantity,
            customer=intern(self._customer(row)),
            country=intern(words(self.text(row, "Country"))[:LONGEST_NAME].rstrip()),
            moments=moments_of(self.cell(row, "InvoiceDate"), self.dates),
        )

    def sku(self, row: Row) -> str:
        """The product's code, or what stands for it where there is none. Raises NotAnOrderLine."""
        sku = self._code(row, "StockCode", "stock code")
        if sku or self.columns.key is None:
            return sku
        return shortened(words(text_of(row.cells[self.columns.key])))

    def lacks_sku(self, row: Row) -> bool:
        """Whether another column has to stand for the stock code of this row."""
        return self.columns.key is not None and self.text(row, "StockCode").lower() in NO_CODE

    def offer(self, row: Row) -> Decimal | None:
        """The price of one unit in full cents, None where the row names none above 0. Any row may tell a price."""
        price = self._unit_price(row)
        if price is None or not 0 < price <= LARGEST_PRICE:
            return None
        return price.quantize(Decimal("0.01"), ROUND_HALF_UP) or None

    def cell(self, row: Row, name: str) -> Cell:
        """What stands in this column; empty where there is no such column."""
        at = self.columns.at.get(name)
        return "" if at is None else row.cells[at]

    def text(self, row: Row, name: str) -> str:
        """The same as a text; empty where it says that there is nothing."""
        text = text_of(self.cell(row, name))
        return "" if text.lower() in NOTHING else text

    def quantity_of(self, row: Row) -> Decimal | None:
        """The number in the column of quantities, whatever it is worth."""
        return self.numbers.number(self.cell(row, "Quantity"))

    def _code(self, row: Row, name: str, called: str) -> str:
        try:
            code = _code_of(self.cell(row, name))
        except NoCode as error:
            raise NotAnOrderLine(f"the {called} {error}") from None
        return "" if code.lower() in NO_CODE else code

    def _customer(self, row: Row) -> str:
        try:
            code = _code_of(self.cell(row, "CustomerID"))
        except NoCode as error:
            raise NotAnOrderLine(f"the customer {error}", whole=True) from None
        return "" if code.lower() in NOTHING else code[:LONGEST_NAME]

    def _check_cancelled(self, row: Row) -> None:
        status = self.text(row, "Status")
        if not status:
            return
        title = self.columns.titles["Status"]
        if status.lower().removeprefix("wc-") in CANCELLED or title.lower().startswith("cancel"):
            raise NotAnOrderLine(f"cancelled ({self.columns.format.name}): {title} is {status[:40]}", whole=True)

    def _check_product(self, sku: str, name: str, price: Decimal) -> None:
        if sku.upper() in uci.NO_PRODUCT:
            raise NotAnOrderLine(f"no product (rules uci): {sku}")
        if name and not price and uci.NOTE.fullmatch(name):
            raise NotAnOrderLine(f"a note without a price (rules uci): {name!r}")

    def _quantity(self, row: Row) -> int:
        if self.columns.format.one_each and "Quantity" not in self.columns.at:
            return 1
        text, number = self.text(row, "Quantity"), self.quantity_of(row)
        if number is None:
            raise NotAnOrderLine(_no_number("quantity", self.cell(row, "Quantity")) if text else "no quantity")
        if number != number.to_integral_value():
            raise NotAnOrderLine(f"the quantity is no whole number: {text}")
        if number <= 0:
            raise NotAnOrderLine(f"the quantity is {'negative' if number else 'zero'}: {text}")
        if number > self.most:
            raise NotAnOrderLine(f"the quantity is over {self.most:,}, the most of one line: {text}")
        return int(number)

    def _price(self, row: Row) -> Decimal:
        name = self._price_field
        text = self.text(row, name)
        price = self.numbers.number(self.cell(row, name), money=True) if text else Decimal(0)
        if price is None:
            raise NotAnOrderLine(_no_number("price", self.cell(row, name)))
        if price < 0:
            raise NotAnOrderLine(f"the price is negative: {text}")
        if price > LARGEST_PRICE:
            raise NotAnOrderLine(f"the price is over {LARGEST_PRICE:,}: {text}")
        return price

    def _unit_price(self, row: Row) -> Decimal | None:
        name = self._price_field
        price = self.numbers.number(self.cell(row, name), money=True)
        if price is None or name == "UnitPrice":
            return price
        quantity = self.quantity_of(row)
        try:
            return price / quantity if quantity else None
        except InvalidOperation:
            return None

    @property
    def _price_field(self) -> str:
        return "UnitPrice" if "UnitPrice" in self.columns.at else "LinePrice"


def shortened(key: str) -> str:
    """A text as a stock code: as it is, or its beginning and a digest where it is longer than a stock code may be."""
    if len(key) <= LONGEST_CODE:
        return key
    return f"{key[: LONGEST_CODE - 9].rstrip()}-{sha256(key.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _no_number(called: str, cell: Cell) -> str:
    if isinstance(cell, Fault) or (isinstance(cell, str) and cell.strip().upper() in ERRORS):
        return f"the {called} is {text_of(cell)}, without a value"
    return f"the {called} is no number: {text_of(cell)!r}"


@lru_cache(maxsize=65_536)
def _code_of(cell: Cell) -> str:
    return code_of(cell)


@lru_cache(maxsize=4_096)
def moments_of(cell: Cell, dates: str | None) -> tuple[float | None, float | None]:
    """The moment in this cell in seconds, with the day first and with the month first where nothing tells."""
    if dates:
        return (_seconds(moment_of(cell, dates)),) * 2
    day_first, month_first = moment_of(cell, DMY), moment_of(cell, MDY)
    return _seconds(day_first or month_first), _seconds(month_first or day_first)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - datetime(1970, 1, 1)).total_seconds()
