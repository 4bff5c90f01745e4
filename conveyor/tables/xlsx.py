"""Rows of an xlsx workbook: numbers as numbers, moments as moments, #N/A and formulas without a value as faults.

A workbook keeps a formula beside the value that it came to; a program that writes formulas and never calculates them
leaves the value out, and then there is none. Only sheets with formulas are read beside a second copy that has them.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import repeat
from typing import Any, BinaryIO

from conveyor.tables.cells import ERRORS, Cell, Fault, Row
from conveyor.tables.damage import readable


class Xlsx:
    """A workbook, open for as long as its file is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def sheets(self) -> list[str]:
        """The names of its sheets, charts left out. Raises Unreadable."""
        with readable("workbook (xlsx)"), self._workbook() as book:
            return [sheet.title for sheet in book.worksheets]

    def rows(self, sheet: str) -> Iterator[Row]:
        """The rows of a sheet that are not blank. Raises Unreadable."""
        with readable("workbook (xlsx)"), self._workbook() as values:
            if not self._has_formulas():
                yield from _rows(values[sheet], repeat(()))
                return
            with self._workbook(formulas=True) as formulas:
                formulas[sheet].reset_dimensions()
                yield from _rows(values[sheet], formulas[sheet].iter_rows(values_only=True))

    @contextmanager
    def _workbook(self, formulas: bool = False) -> Iterator[Any]:
        from openpyxl import load_workbook  # only now: it takes 15 MiB, and most books are no workbooks

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it does not keep of a style or a chart, no row needs
            book = load_workbook(self._file, read_only=True, data_only=not formulas, keep_links=False)
        try:
            yield book
        finally:
            book.close()

    def _has_formulas(self) -> bool:
        self._file.seek(0)
        with zipfile.ZipFile(self._file) as archive:
            for name in archive.namelist():
                if name.startswith("xl/worksheets/") and name.endswith(".xml") and _contains_formula(archive, name):
                    return True
        return False


def _contains_formula(archive: zipfile.ZipFile, name: str) -> bool:
    tail = b""
    with archive.open(name) as member:
        while chunk := member.read(1 << 20):
            if re.search(rb"<(?:\w+:)?f[ >/]", tail + chunk):
                return True
            tail = chunk[-16:]
    return False


def _rows(sheet: Any, formulas: Iterator[Sequence[Any]]) -> Iterator[Row]:
    sheet.reset_dimensions()  # the size that a workbook tells of itself may be wrong
    for number, (read, beside) in enumerate(zip(sheet.iter_rows(), formulas, strict=False), start=1):
        cells = [_padded(each) if type(each.value) is int else _cell(each.value) for each in read]
        for at, formula in enumerate(beside):
            if isinstance(formula, str) and formula.startswith("=") and at < len(read) and read[at].value is None:
                cells[at] = Fault("a formula")
        while cells and cells[-1] == "":
            cells.pop()
        if cells:
            yield Row(number, tuple(cells))


def _padded(cell: Any) -> Cell:
    """A whole number; as the text that is shown where its format, ``00000``, puts zeros in front of a code."""
    form = str(cell.number_format)
    return str(cell.value).zfill(len(form)) if len(form) > 1 and not form.strip("0") else Decimal(cell.value)


def _cell(value: Any) -> Cell:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str):
        return Fault(value) if value in ERRORS else value
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    return str(value) if isinstance(value, time | timedelta) else Fault(f"a {type(value).__name__}")
