"""The second reading of an order book: each row becomes a line of an order, or is dropped with the reason.

A row without a number belongs to the order above it, as shops export them. Where that order cannot be known, because
the row above is broken or has no number to go by, none of the order is sent: never a part of it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import blake2b

from conveyor.replay.line import LineReader, NotAnOrderLine
from conveyor.replay.store import Store
from conveyor.tables.cells import Cell, Row, line_of, text_of

#: What an order's first row says for all of them.
SHARED = ("InvoiceNo", "InvoiceDate", "CustomerID", "Country", "Currency")


@dataclass(slots=True)
class Blocks:
    """Neighbouring rows of one order, as they come: numbered, with a digest of all that they say."""

    store: Store
    number: int = 0
    _invoice: str = ""
    _first: int = 0
    _digest: "blake2b" = field(default_factory=lambda: blake2b(digest_size=16))
    _rows: list[int] = field(default_factory=list)

    def take(self, row: Row, invoice: str) -> int:
        """The number of the block that this row is in."""
        if self._invoice != invoice:
            self.end()
            self.number += 1
            self._invoice, self._first = invoice, row.number
            self._digest = blake2b(digest_size=16)
        text = row.text.strip()
        self._digest.update(text.encode(errors="surrogatepass") + b"\0")
        self._rows.append(hash(text))
        return self.number

    def end(self) -> None:
        """The next row begins another block."""
        if self._invoice:
            doubled = is_repetition(self._rows)
            self.store.end_block(self.number, self._invoice, self._digest.digest(), self._first, doubled)
        self._invoice = ""
        self._rows.clear()


def is_repetition(rows: Sequence[int]) -> bool:
    """Whether these are a few different rows, at least two, again and again: A B C A B C.

    The same row twice, one after the other, is how tills book the same thing twice.
    """
    size = len(rows)
    if size < 4 or len(set(rows)) < 2:
        return False
    return any(
        size % period == 0 and rows[period] == rows[0] and rows[period:] == rows[:-period]
        for period in range(2, size // 2 + 1)
    )


@dataclass(slots=True)
class Reading:
    """What is known so far while a book is read from top to bottom; what it comes to is in the store."""

    reader: LineReader
    header: Row
    store: Store
    lines: int = 0
    followers: int = 0
    keyed: int = 0
    blocks: Blocks = field(init=False)
    separator: str = ","
    _above: str = ""
    _head: Row = field(default_factory=lambda: Row(0, ()))
    _before: str = ""
    _unknown: str = "no order number: no order above"
    _units: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.store)

    def take_all(self, rows: Iterable[Row]) -> None:
        """Read all rows below the header."""
        coming = iter(rows)
        row = next(coming, None)
        while row is not None:
            following = next(coming, None)
            self._take(row, is_last=following is None)
            row = following
        self.blocks.end()

    def _take(self, row: Row, *, is_last: bool) -> None:
        self.lines += 1
        width = len(self.header.cells)
        row = _fitted(row, self.header.cells)
        if len(row.cells) != width:
            self._broken(row, f"broken row: {len(row.cells)} columns where the header has {width}")
        elif row.cells == self.header.cells:
            self.blocks.end()
            self._lose("no order number: no order above")
            self._reject(row, "the header once more")
        else:
            self._read(row, is_last)

    def _read(self, row: Row, is_last: bool) -> None:
        with suppress(NotAnOrderLine):  # why a row has no stock code to go by is said further below
            self._offer(row)
        try:
            number = self.reader.invoice(row)
        except NotAnOrderLine as why:
            self._reject(row, str(why))
            self._lose("no order number: that of the row above is none to go by")
            return
        if number:
            self._above, self._before, self._head = number, "", row
        elif self._is_total(row, is_last):
            self._reject(row, "a row of totals")
            return
        elif not self._above:
            if self._before:
                self.store.refuse(self._before, f"a row that is broken may be one of its own ({self._unknown})")
            self._reject(row, self._unknown)
            return
        if number:
            self._add(row)
        else:
            self.followers += 1
            self._add(self._headed(row))

    def _offer(self, row: Row) -> None:
        price = self.reader.offer(row)
        if price:
            self.store.offer(self.reader.sku(row), price)

    def _add(self, row: Row) -> None:
        """Put a row on the order that it is of."""
        block = self.blocks.take(row, self._above)
        try:
            line = self.reader.line(row, self._above)
        except NotAnOrderLine as why:
            self._reject(row, str(why))
            if why.whole:
                self.store.refuse(self._above, str(why))
            return
        self.keyed += self.reader.lacks_sku(row)
        if line.name:
            self.store.name(line.sku, line.name)
        self._units += line.quantity
        self.store.keep(row, line, block)

    def _headed(self, row: Row) -> Row:
        """A row without a number, with what the row that has it says for the whole order.

        So it is a row that can stand alone where it is listed as a reject.
        """
        at = self.reader.columns.at
        shared = {at[name] for name in SHARED if name in at}
        cells = tuple(
            self._head.cells[place] if place in shared and not text_of(cell) else cell
            for place, cell in enumerate(row.cells)
        )
        raw = None if row.raw is None else line_of(cells, self.separator)
        return Row(row.number, cells, raw)

    def _is_total(self, row: Row, is_last: bool) -> bool:
        """Whether a row names nothing, or is the last, with one word beside the sum of all that was ordered above."""
        sku, name = self.reader.text(row, "StockCode"), self.reader.text(row, "Description")
        if self.reader.text(row, "CustomerID") or (sku and name):
            return False
        if not sku and not name:
            return True
        has_names = "Description" in self.reader.columns.at
        return is_last and has_names and self.lines > 2 and self.reader.quantity_of(row) == self._units

    def _broken(self, row: Row, reason: str) -> None:
        """Whatever order a broken row was of, the rows without a number that follow may be of the same one."""
        self._reject(row, reason)
        before = self._above or self._before
        self._lose(f"no order number: the row above is broken, line {row.number}")
        self._before = before

    def _lose(self, unknown: str) -> None:
        """The order of the rows that follow without a number is not known."""
        self.blocks.end()
        self._above, self._before, self._unknown = "", "", unknown

    def _reject(self, row: Row, reason: str) -> None:
        self.store.reject(row.number, reason, row.text)


def _fitted(row: Row, titles: Sequence[Cell]) -> Row:
    """The row without the empty columns that some exports add at the end, to rows or to the header alone."""
    here, there = len(row.cells), len(titles)
    if here > there and not any(text_of(each) for each in row.cells[there:]):
        return replace(row, cells=row.cells[:there])
    if here < there and not any(text_of(each) for each in titles[here:]):
        return replace(row, cells=(*row.cells, *("" for _ in range(there - here))))
    return row
