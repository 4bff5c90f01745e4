"""Rows of an ods workbook, read as they come out of its XML: a sheet is never in memory as a whole.

A cell says what it is (``office:value-type``), and its number beside what is shown. Cells and rows that repeat are
written once with a count, blank ones with a count up to the edge of the sheet. A formula has its value beside it, or
none, where nobody has calculated it.
"""

import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import IO, BinaryIO
from xml.etree.ElementTree import Element, iterparse

from conveyor.tables.cells import ERRORS, Cell, Fault, Row
from conveyor.tables.damage import readable

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_SHEET, _ROW = f"{_TABLE}table", f"{_TABLE}table-row"
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
#: A row of more cells, or a cell that is repeated more often, is the blank rest of a sheet.
WIDEST = 1_000
#: How a cell shows that it has no value.
_ERROR = re.compile(r"#.+|Err:\d+")


class Ods:
    """A workbook, open for as long as its file is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def sheets(self) -> list[str]:
        """The names of its sheets. Raises Unreadable."""
        return [name for name, row in self._walk() if row is None]

    def rows(self, sheet: str) -> Iterator[Row]:
        """The rows of a sheet that are not blank. Raises Unreadable."""
        for name, row in self._walk():
            if name == sheet and row is not None:
                yield row

    def _walk(self) -> Iterator[tuple[str, Row | None]]:
        """Each sheet's name, once alone and then with each of its rows."""
        self._file.seek(0)
        with (
            readable("workbook (ods)"),
            zipfile.ZipFile(self._file) as archive,
            archive.open("content.xml") as content,
        ):
            yield from _sheets(content)


def _sheets(content: IO[bytes]) -> Iterator[tuple[str, Row | None]]:
    sheet, number = "", 0
    above: list[Element] = []
    for event, element in iterparse(content, events=("start", "end")):
        if event == "start":
            if element.tag == _SHEET and not _within(above, _SHEET):
                sheet, number = element.get(f"{_TABLE}name", ""), 0
                yield sheet, None
            above.append(element)
            continue
        above.pop()
        if element.tag == _ROW and not _within(above, _ROW):
            times = int(element.get(f"{_TABLE}number-rows-repeated", "1"))
            cells = _cells(element)
            del above[-1][:]  # what has been read of the sheet is let go
            for each in range(times if cells else 0):
                yield sheet, Row(number + each + 1, cells)
            number += times


def _within(above: list[Element], tag: str) -> bool:
    """Whether one of these is such an element: a cell may hold a table of its own."""
    return any(each.tag == tag for each in above)


def _cells(row: Element) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for element in row:
        if element.tag not in _CELLS:
            continue
        times = int(element.get(f"{_TABLE}number-columns-repeated", "1"))
        cell: Cell = "" if element.tag == _CELLS[1] else _cell(element)
        if cell == "" and times > WIDEST:
            break
        cells += [cell] * min(times, WIDEST)
    while cells and cells[-1] == "":
        cells.pop()
    return tuple(cells)


def _cell(element: Element) -> Cell:
    kind = element.get(f"{_OFFICE}value-type")
    shown = "\n".join(_text(each) for each in element.iter(f"{_TEXT}p"))
    formula = element.get(f"{_TABLE}formula")
    if shown in ERRORS or (formula and _ERROR.fullmatch(shown)):
        return Fault(shown)
    if kind in ("float", "currency", "percentage"):
        return _number(element.get(f"{_OFFICE}value", ""), shown)
    if kind == "date":
        return _moment(element.get(f"{_OFFICE}date-value", ""))
    if kind == "boolean":
        return element.get(f"{_OFFICE}boolean-value", "").upper()
    if formula and not kind and not shown:
        return Fault("a formula")
    return element.get(f"{_OFFICE}string-value") or shown


def _number(value: str, shown: str) -> Cell:
    """A number; as the text that is shown where that is a code with zeros in front."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return Fault("a number")
    is_padded = len(shown) > 1 and shown[0] == "0" and shown.isascii() and shown.isdigit() and int(shown) == number
    return shown if is_padded else number


def _text(paragraph: Element) -> str:
    """The words of a paragraph; several blanks, a tab and a break are elements."""
    parts = [paragraph.text or ""]
    for each in paragraph:
        if each.tag == f"{_TEXT}s":
            parts.append(" " * int(each.get(f"{_TEXT}c", "1")))
        elif each.tag == f"{_TEXT}tab":
            parts.append("\t")
        elif each.tag == f"{_TEXT}line-break":
            parts.append("\n")
        elif not each.tag.startswith(_OFFICE):
            parts.append(_text(each))
        parts.append(each.tail or "")
    return "".join(parts)


def _moment(text: str) -> Cell:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return Fault(f"no date, {text}")
