"""Workbooks as programs write them, as fixtures for whoever reads them."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from openpyxl import Workbook

Sheets = dict[str, Sequence[Sequence[object]]]
_NAMES = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
)


@dataclass(frozen=True)
class Padded:
    """A number that is shown with zeros in front."""

    number: int
    width: int


@pytest.fixture
def xlsx(tmp_path: Path) -> Callable[[Sheets], Path]:
    """Writes sheets of values into an xlsx workbook; a text that begins with = is a formula without a value."""

    def write(sheets: Sheets) -> Path:
        book = Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for at, row in enumerate(rows, start=1):
                sheet.append([each.number if isinstance(each, Padded) else each for each in row])
                for place, each in enumerate(row, start=1):
                    if isinstance(each, Padded):
                        sheet.cell(at, place).number_format = "0" * each.width
        book.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return write


@pytest.fixture
def ods(tmp_path: Path) -> Callable[[Sheets], Path]:
    """Writes sheets of values into an ods workbook as LibreOffice does: blank rest of rows and sheet, counted."""

    def write(sheets: Sheets) -> Path:
        tables = "".join(_sheet(name, rows) for name, rows in sheets.items())
        content = (
            f'<?xml version="1.0"?><office:document-content {_NAMES}><office:body><office:spreadsheet>{tables}'
            "</office:spreadsheet></office:body></office:document-content>"
        )
        with zipfile.ZipFile(tmp_path / "book.ods", "w") as archive:
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            archive.writestr("content.xml", content)
        return tmp_path / "book.ods"

    return write


def _sheet(name: str, rows: Sequence[Sequence[object]]) -> str:
    blank = '<table:table-cell table:number-columns-repeated="16000"/>'
    written = "".join(f"<table:table-row>{''.join(map(_cell, row))}{blank}</table:table-row>" for row in rows)
    rest = f'<table:table-row table:number-rows-repeated="1048000">{blank}</table:table-row>'
    return f"<table:table table:name={quoteattr(name)}>{written}{rest}</table:table>"


def _cell(value: object) -> str:
    if value is None:
        return "<table:table-cell/>"
    if isinstance(value, datetime):
        kind, shown = f'office:value-type="date" office:date-value="{value.isoformat()}"', value.strftime("%d/%m/%y")
    elif isinstance(value, Padded):
        kind, shown = f'office:value-type="float" office:value="{value.number}"', f"{value.number:0{value.width}}"
    elif isinstance(value, int | float | Decimal):
        kind, shown = f'office:value-type="float" office:value="{value}"', f"{value:.2e}"
    elif str(value).startswith("="):
        return f"<table:table-cell table:formula={quoteattr('of:' + str(value))}/>"
    else:
        kind, shown = 'office:value-type="string"', str(value)
    return f"<table:table-cell {kind}><text:p>{escape(shown)}</text:p></table:table-cell>"
