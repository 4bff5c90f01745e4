"""A table in a file, whatever kind of file that is: what was decided about it, its header, and its rows."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from conveyor.tables import delimited
from conveyor.tables.cells import Row, text_of
from conveyor.tables.delimited import HEADER_WITHIN, IsHeader
from conveyor.tables.encodings import encoding_of
from conveyor.tables.errors import NoHeader, TableError, Uncertain, Unreadable
from conveyor.tables.kinds import Kind, kind_of
from conveyor.tables.ods import Ods
from conveyor.tables.source import opened
from conveyor.tables.xlsx import Xlsx

#: Lines of a text as they are to be read: ``rejects`` of an earlier run are a table within another.
Unwrap = Callable[[Iterator[str]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator has said about a file: a codec, a sheet of a workbook."""

    encoding: str | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """``said``: what was decided, a phrase each. ``above``: what stands above the header. ``rows`` may be asked for
    again and again, as long as the table is open. ``encoding`` and ``separator`` are those of a text."""

    kind: Kind
    said: tuple[str, ...]
    header: Row
    above: tuple[Row, ...]
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    encoding: str = ""
    separator: str = ","


def as_it_stands(lines: Iterator[str]) -> Iterator[str]:
    """No table within another."""
    return lines


@contextmanager
def opened_table(
    file: Path, is_header: IsHeader, asked: Asked = Asked(), *, unwrap: Unwrap = as_it_stands
) -> Iterator[Table]:
    """The table in this file whose header is recognised by ``is_header``, as long as it is open.

    Raises Unreadable, NoHeader and Uncertain, in a line that names the file.
    """
    with opened(file) as source, named(file):
        yield table_in(source, is_header, asked, unwrap=unwrap)


@contextmanager
def named(file: Path) -> Iterator[None]:
    """What goes wrong with this file is said in a line that names it: ``orders.csv is empty``."""
    try:
        yield
    except Uncertain as error:
        raise Uncertain(f"{file} is {error}", error.shown) from None
    except TableError as error:
        raise type(error)(f"{file} is {error}") from None


def table_in(source: BinaryIO, is_header: IsHeader, asked: Asked = Asked(), *, unwrap: Unwrap = as_it_stands) -> Table:
    """The table in an open file. Raises Unreadable, NoHeader and Uncertain, whose messages go on from "is"."""
    kind = kind_of(source)
    if kind is Kind.XLSX:
        return _of_workbook(kind, Xlsx(source), is_header, asked)
    if kind is Kind.ODS:
        return _of_workbook(kind, Ods(source), is_header, asked)
    return _of_text(source, is_header, asked, unwrap)


def lines_of(source: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of a text from its beginning, whichever way they end."""
    source.seek(0)
    text = io.TextIOWrapper(source, encoding, newline=None)
    try:
        for line in text:
            yield line.removesuffix("\n")
    finally:
        text.detach()


def _of_text(source: BinaryIO, is_header: IsHeader, asked: Asked, unwrap: Unwrap) -> Table:
    encoding = encoding_of(source, asked.encoding)

    def as_they_are() -> Iterator[str]:
        return unwrap(lines_of(source, encoding.name))

    def out_of_quotes() -> Iterator[str]:
        return map(delimited.out_of_quotes, as_they_are())

    lines, note = as_they_are, ""
    found = delimited.layout_of(lines(), is_header)
    if found is None:
        lines, note = out_of_quotes, ", each line in quotes of its own"
        found = delimited.layout_of(lines(), is_header)
    if found is None:
        raise NoHeader("a text, and no line of it names the columns")
    said = (f"text in {encoding.said}", found.said + note, _place(found.header, found.above))
    return Table(
        Kind.TEXT,
        said,
        found.header,
        found.above,
        lambda: delimited.records(lines(), found),
        encoding.name,
        found.separator,
    )


def _of_workbook(kind: Kind, book: Xlsx | Ods, is_header: IsHeader, asked: Asked) -> Table:
    names = book.sheets()
    if asked.sheet and asked.sheet not in names:
        raise Unreadable(f"a workbook without a sheet {asked.sheet!r}; it has {', '.join(names)}")
    found = {}
    for name in [asked.sheet] if asked.sheet else names:
        if place := _header(book.rows(name), is_header):
            found[name] = place
    if not found:
        raise NoHeader(f"a workbook ({kind.value}), and no row of it names the columns")
    if len(found) > 1:
        raise Uncertain(f"a workbook with several such sheets: {', '.join(found)}. Say --sheet NAME")
    (sheet, (header, above)) = next(iter(found.items()))
    others = len(names) - 1
    of_several = f", the only one of {len(names)} with such columns" if others and not asked.sheet else ""
    said = (f"workbook ({kind.value})", f"sheet {sheet!r}{of_several}", _place(header, above))
    return Table(kind, said, header, above, lambda: _below(book.rows(sheet), header))


def _header(rows: Iterator[Row], is_header: IsHeader) -> tuple[Row, tuple[Row, ...]] | None:
    above: list[Row] = []
    for row in islice(rows, HEADER_WITHIN):
        if is_header([text_of(each) for each in row.cells]):
            return row, tuple(above)
        above.append(row)
    return None


def _below(rows: Iterable[Row], header: Row) -> Iterator[Row]:
    """The rows below the header, filled up with blanks to its width: a workbook stores no cells at the end of a row."""
    width = len(header.cells)
    for row in rows:
        if row.number > header.number:
            missing = width - len(row.cells)
            yield Row(row.number, row.cells + ("",) * missing) if missing > 0 else row


def _place(header: Row, above: tuple[Row, ...]) -> str:
    lines = f", {len(above)} line{'s' * (len(above) > 1)} above it left out" if above else ""
    return f"header in line {header.number}{lines}"
