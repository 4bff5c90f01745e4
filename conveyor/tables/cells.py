"""One cell of a table, and what can be said of it without knowing the column.

A cell of a delimited text is always a text. A workbook also has numbers and moments, which are what they are whatever
the text of the others looks like, and faults: #N/A, or a formula that was never calculated.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from io import StringIO

from chassis.codes import nfc, unseen


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell without a value, and why: ``#N/A``, ``a formula without a value``."""

    why: str


Cell = str | Decimal | datetime | Fault

#: A workbook keeps so many digits of a number; further ones are lost.
DIGITS = 15
#: What a spreadsheet shows in the place of a value, in English and as a text like any other in a CSV.
ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})
#: 8.01235E+15 is how a spreadsheet shows a long number; most of its digits are gone.
_SCIENTIFIC = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE][+-]\d{2,3}")
_WHOLE = re.compile(r"(\d+)\.0", re.ASCII)


class NoCode(ValueError):
    """This cell is no identifier; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a table. ``number`` is the line it begins on, from 1; ``raw`` is how it was written, if as text."""

    number: int
    cells: tuple[Cell, ...]
    raw: str | None = None

    @property
    def text(self) -> str:
        """The record as a line of a CSV: as it was written, where it was."""
        return line_of(self.cells) if self.raw is None else self.raw


def line_of(cells: Sequence[Cell], separator: str = ",") -> str:
    """These cells as one line of a CSV."""
    written = StringIO()
    csv.writer(written, delimiter=separator, lineterminator="").writerow([text_of(each) for each in cells])
    return written.getvalue()


def text_of(cell: Cell) -> str:
    """A cell as people read it: ``2026-03-02 10:00:00``, ``4006381333931``, ``12.5``."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, Decimal):
        return plain(cell)
    return cell.why if isinstance(cell, Fault) else cell.isoformat(sep=" ", timespec="seconds")


def plain(number: Decimal) -> str:
    """A number without an exponent, and without zeros that say nothing."""
    return f"{number:f}" if number != number.to_integral_value() else f"{number.quantize(Decimal(1)):f}"


def code_of(cell: Cell) -> str:
    """An identifier as it is meant, in Unicode's normal form C: ``17850.0``, a spreadsheet's number, is ``17850``.

    Raises NoCode where digits are lost, so that it may stand for many, where there is a fault or a date, and where
    something in it cannot be seen.
    """
    if isinstance(cell, str):
        return _code(cell)
    if isinstance(cell, Decimal):
        if abs(cell) >= 10**DIGITS:
            raise NoCode(f"is a number of more than {DIGITS} digits, {plain(cell)}: a spreadsheet has rounded it")
        return plain(cell)
    if isinstance(cell, Fault):
        raise NoCode(f"is {cell.why}, without a value")
    raise NoCode(f"is a date, {text_of(cell)}: a spreadsheet has changed it")


def _code(text: str) -> str:
    text = nfc(text).strip()
    if not (text.isascii() and text.isprintable()) and (hidden := unseen(text)):
        raise NoCode(f"has a character that cannot be seen: {hidden}")
    text = " ".join(text.split())
    if not text or text.isalpha():
        return text
    if text[0] == "#" and text.upper() in ERRORS:
        raise NoCode(f"is {text}, a spreadsheet's error")
    if "+" in text or "-" in text:
        if _SCIENTIFIC.fullmatch(text):
            raise NoCode(f"is in scientific notation, {text}: a spreadsheet has dropped its digits")
        return text
    whole = _WHOLE.fullmatch(text) if text.endswith(".0") else None
    return whole[1] if whole else text


def words(text: str) -> str:
    """Text without characters that cannot be stored or shown, each run of blanks made one, in normal form C."""
    text = nfc(text)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())
