"""The first reading of an order book: what all of its rows together say about how each of them is meant."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from conveyor.replay import uci
from conveyor.replay.columns import Columns
from conveyor.replay.formats import UCI
from conveyor.replay.line import NO_CODE, LineReader
from conveyor.tables.cells import NoCode, Row, code_of, text_of
from conveyor.tables.dates import MDY, DateSurvey
from conveyor.tables.errors import Uncertain
from conveyor.tables.numbers import NumberSurvey

#: Signs of currencies, and the codes that mean the same.
CODES = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "¥": "JPY",
    "₹": "INR",
    "₽": "RUB",
    "zł": "PLN",
    "Fr.": "CHF",
}
#: So many different cells of a column are remembered, so that none is looked at twice.
REMEMBERED = 50_000


@dataclass(slots=True)
class Survey:
    """What is known of a file's numbers, dates, currency and order numbers."""

    columns: Columns
    dates: DateSurvey
    numbers: NumberSurvey = field(default_factory=NumberSurvey)
    currencies: Counter[str] = field(default_factory=Counter)
    invoices: int = 0
    other_invoice: str = ""

    def take(self, rows: Iterable[Row]) -> "Survey":
        """Look at all rows; those that are broken tell nothing."""
        at, width = self.columns.at, max([*self.columns.at.values(), self.columns.key or 0]) + 1
        reader = LineReader(self.columns)
        quantity, date = at.get("Quantity"), at.get("InvoiceDate")
        price = at.get("UnitPrice", at.get("LinePrice"))
        currency = at.get("Currency")
        seen: set[tuple[object, ...]] = set()
        for row in rows:
            cells = row.cells
            if len(cells) < width:
                continue
            texts = (
                cells[quantity] if quantity is not None else "",
                cells[price] if price is not None else "",
                cells[date] if date is not None else "",
                cells[currency] if currency is not None else "",
            )
            if texts not in seen:
                if len(seen) < REMEMBERED:
                    seen.add(texts)
                self.numbers.take(texts[0], row.number)
                self.numbers.take(texts[1], row.number, money=True)
                self.dates.take(texts[2], row.number)
                if isinstance(texts[3], str) and texts[3].strip():
                    self.currencies[texts[3].strip().upper()] += 1
            if not self.other_invoice:
                self._take_invoice(row, reader)
        return self

    def _take_invoice(self, row: Row, reader: LineReader) -> None:
        if reader.text(row, "StockCode").lower() in NO_CODE:
            return  # a row of totals has words where orders have numbers
        try:
            invoice = code_of(reader.cell(row, "InvoiceNo"))
        except NoCode:
            self.other_invoice = text_of(reader.cell(row, "InvoiceNo"))
            return
        if invoice.lower() not in NO_CODE:
            self.invoices += 1
            if not uci.is_number(invoice):
                self.other_invoice = invoice

    @property
    def is_uci(self) -> bool:
        """Whether every order number is one of that shop's, in a file that is no other system's export."""
        return self.columns.format.name == UCI.name and self.invoices > 0 and not self.other_invoice

    def order(self, by_uci: bool) -> str | None:
        """The order of day and month: what the file tells, else what its source is known for, else None."""
        known = MDY if by_uci else self.columns.format.dates
        return self.dates.order or (known if not self.dates.told else None)

    def currency(self) -> str:
        """The currency that prices are in, empty where none is named. Raises Uncertain where there are several."""
        named = {CODES.get(each, each.upper()) for each in self.numbers.currencies} | set(self.currencies)
        if len(named) > 1:
            raise Uncertain(
                f"in several currencies ({', '.join(sorted(named))}), and a shop has one: give each a file of its own"
            )
        return next(iter(named), "")
