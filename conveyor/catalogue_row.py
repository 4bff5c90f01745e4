"""Is this row of a catalogue a product? If not, why not? The rules are the gateway's own, asked before it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache
from typing import TYPE_CHECKING

from conveyor.catalogue_columns import FIELDS
from conveyor.client import JSON
from conveyor.tables.cells import DIGITS, Cell, Fault, NoCode, Row, code_of, text_of, words
from conveyor.tables.numbers import NumberFormat

if TYPE_CHECKING:
    from marshmallow import Schema

_KEPT = Context(prec=DIGITS)
#: How the gateway's fields are called in a file.
_TITLES = {field: title for title, field in FIELDS.items()}


class NoProduct(Exception):
    """This row is no product; the message says why."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows by where the columns stand, how many there are, and how numbers are written."""

    columns: Mapping[str, int]
    width: int
    numbers: NumberFormat

    def product(self, row: Row) -> JSON | None:
        """This row as the body of a request; None where it is blank. Raises NoProduct."""
        if not any(text_of(each) for each in row.cells):
            return None
        cells = row.cells
        if len(cells) > self.width and not any(text_of(each) for each in cells[self.width :]):
            cells = cells[: self.width]
        if len(cells) != self.width:
            raise NoProduct(f"broken row: {len(cells)} columns where the header has {self.width}")
        given = {name: cells[place] for name, place in self.columns.items()}
        for name in ("name", "description"):
            if isinstance(fault := given.get(name), Fault):
                raise NoProduct(f"the {name} is {fault.why}, without a value")
        body: JSON = {
            "sku": _sku(given["sku"]),
            "name": words(text_of(given["name"])),
            "price": f"{self._number('price', given['price'], money=True):f}",
            "stock_quantity": self._stock(given.get("stock", "")),
        }
        if description := text_of(given.get("description", "")):
            body["description"] = description
        _check(body)
        return body

    def _number(self, name: str, cell: Cell, *, money: bool = False) -> Decimal:
        if isinstance(cell, Fault):
            raise NoProduct(f"the {name} is {cell.why}, without a value")
        if not (text := text_of(cell)):
            raise NoProduct(f"no {name}")
        number = self.numbers.number(cell, money=money)
        if number is None:
            raise NoProduct(f"the {name} is no number: {text!r}")
        # A workbook calculates 0.1 + 0.2 as 0.30000000000000004.
        return _KEPT.plus(number).normalize() if isinstance(cell, Decimal) else number

    def _stock(self, cell: Cell) -> int:
        if not isinstance(cell, Fault) and not text_of(cell):
            return 0
        number = self._number("stock", cell)
        if number != number.to_integral_value():
            raise NoProduct(f"the stock is no whole number: {text_of(cell)!r}")
        return int(number)


def _sku(cell: Cell) -> str:
    try:
        sku = code_of(cell)
    except NoCode as why:
        raise NoProduct(f"the sku {why}") from None
    if not sku:
        raise NoProduct("no sku")
    return sku


@cache
def _schema() -> "Schema":
    # Only now: Flask takes 20 MiB, which no other command needs. Once: to make it takes longer than to ask it.
    from inventory.schemas import NewProduct

    return NewProduct()


def _check(body: JSON) -> None:
    """The rules by which inventory takes a product. Raises NoProduct."""
    for field, rules in _schema().validate(body).items():
        title = _TITLES.get(field, field)
        raise NoProduct(f"the {title} is against a rule: {' '.join(rules)} ({title} {str(body[field])[:60]!r})")
