"""Records of a delimited text that nobody vouches for: any separator, and quotes that are opened and never closed.

One bad record must not take its neighbours with it, so every physical line is read on its own; only a quoted field that
really goes on in the next line joins the two. The separator is the one with which a line names the wanted columns: that
of a ``sep=`` line first, then what Python's Sniffer takes it for, then the other usual ones.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from conveyor.tables.cells import Row

SEPARATORS = ",;\t|"
#: The header is looked for in so many lines; some exports put a title above it.
HEADER_WITHIN = 40
#: A header goes on over at most so many lines.
LONGEST_HEADER = 5
#: A quoted field goes on over at most so many lines; a quote that is open for longer is a mistake.
LONGEST_FIELD = 20
_SEP = re.compile(r"\ufeff?\s*\"?sep=(.)\"?[,;\t| ]*", re.IGNORECASE)

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

csv.field_size_limit(10_000_000)

#: Whether these cells name the wanted columns.
IsHeader = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text is cut up: ``lines`` that end with the header, the header itself, and what stands above it."""

    separator: str
    quote: str
    lines: int
    header: Row
    above: tuple[Row, ...]
    sep_line: bool = False

    @property
    def said(self) -> str:
        """For people: ``separated by semicolons, as its sep= line says``."""
        name = NAMES.get(self.separator, repr(self.separator))
        return f"separated by {name}" + (", as its sep= line says" if self.sep_line else "")


def layout_of(lines: Iterable[str], is_header: IsHeader) -> Layout | None:
    """How this text is cut up, by its first lines; None where none of them names the wanted columns."""
    first = list(islice(lines, HEADER_WITHIN))
    said = next((match[1] for line in first[:3] if (match := _SEP.fullmatch(line))), "")
    for separator in dict.fromkeys((said, _sniffed(first), *SEPARATORS)):
        if separator and (found := _with(first, separator, is_header)):
            return Layout(*found, sep_line=separator == said)
    return None


def _sniffed(lines: Sequence[str]) -> str:
    with suppress(csv.Error):
        return csv.Sniffer().sniff("\n".join(lines), delimiters=SEPARATORS).delimiter
    return ""


def _with(first: list[str], separator: str, is_header: IsHeader) -> tuple[str, str, int, Row, tuple[Row, ...]] | None:
    for at in range(len(first)):
        for taken in range(1, LONGEST_HEADER + 1):
            part = first[at : at + taken]
            fields = _fields(part, separator, '"')
            if fields is None:
                continue
            quote = "'" if all(len(each) > 1 and each[0] == each[-1] == "'" for each in fields) else '"'
            fields = _fields(part, separator, quote) or fields
            if is_header(fields):
                above = tuple(Row(n, (line,), line) for n, line in enumerate(first[:at], start=1) if line.strip())
                header = Row(at + 1, tuple(fields), "\n".join(part))
                return separator, quote, at + taken, header, above
            break
    return None


def out_of_quotes(line: str) -> str:
    """A line that is one quoted field as a whole, as spreadsheets save a CSV that they took for one column."""
    if len(line) < 2 or line[0] != '"' or line.rstrip(",;\t")[-1:] != '"':
        return line
    fields = _fields([line.rstrip(",;\t")], ",", '"')
    return fields[0] if fields is not None and len(fields) == 1 else line


def records(lines: Iterable[str], layout: Layout) -> Iterator[Row]:
    """The records below the header, blank lines left out. Never raises."""
    separator, quote, width = layout.separator, layout.quote, len(layout.header.cells)
    rest = enumerate(lines, start=1)
    ahead = deque(islice(rest, layout.lines))
    ahead.clear()
    while True:
        number, line = ahead.popleft() if ahead else next(rest, (0, ""))
        if not number:
            return
        if quote not in line:
            if line.strip():
                yield Row(number, tuple(line.split(separator)), line)
            continue
        fields, taken = _fields([line], separator, quote), 1
        if fields is None:
            ahead.extend(islice(rest, LONGEST_FIELD - 1 - len(ahead)))
            several = [line, *(each for _, each in islice(ahead, LONGEST_FIELD - 1))]
            taken, fields = _open_ended(several, separator, quote, width)
            line = "\n".join(several[:taken])
            for _ in range(taken - 1):
                ahead.popleft()
        yield Row(number, tuple(fields), line)


def _fields(lines: Sequence[str], separator: str, quote: str) -> list[str] | None:
    """The fields of the record that these lines are; None where a quote is open or stands where none may."""
    try:
        read = csv.reader([f"{line}\n" for line in lines], delimiter=separator, quotechar=quote, strict=True)
        fields = next(read)
    except (csv.Error, StopIteration):
        return None
    return fields if read.line_num == len(lines) else None


def _open_ended(lines: list[str], separator: str, quote: str, width: int) -> tuple[int, list[str]]:
    """How many lines a record with an open quote takes, and its fields.

    The field goes on in the next lines only if that makes a record of the header's ``width`` and swallows no line
    that is a record by itself. Otherwise the quote is a stray one, and the line is read as it stands.
    """
    if escaped := _escaped(lines[0], separator, quote, width):
        return 1, escaped
    for taken in range(2, len(lines) + 1):
        alone = _fields([lines[taken - 1]], separator, quote)
        if alone is not None and len(alone) >= width:
            break
        fields = _fields(lines[:taken], separator, quote)
        if fields is not None and len(fields) == width:
            return taken, fields
    return 1, _leniently(lines[0], separator, quote)


def _escaped(line: str, separator: str, quote: str, width: int) -> list[str] | None:
    r"""The fields of a record whose quotes are escaped, as databases export them: ``"12\" ruler"``; None of another."""
    if f"\\{quote}" not in line:
        return None
    try:
        read = csv.reader([line], delimiter=separator, quotechar=quote, escapechar="\\", strict=True)
        fields = next(read)
    except (csv.Error, StopIteration):
        return None
    return fields if len(fields) == width else None


def _leniently(line: str, separator: str, quote: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, quotechar=quote))
    except (csv.Error, StopIteration):
        return line.split(separator)
