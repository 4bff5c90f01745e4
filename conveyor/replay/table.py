"""Rows out of the bytes of a CSV that nobody vouches for.

Order books come out of tills, spreadsheets and exports: in any encoding, with any separator, with quotes that are
opened and never closed. One bad row must not take its neighbours with it, so every physical line is read on its own;
only a quoted field that really goes on in the next line joins the two.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: A byte order mark, and the codec that it asks for. UTF-32 first: its mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATORS = ",;\t|"
#: A quoted field goes on over at most so many lines; a quote that is open for longer is a mistake.
LONGEST_FIELD = 20

csv.field_size_limit(10_000_000)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a CSV. ``number`` is the line it begins on, from 1; ``text`` is the record as it was written."""

    number: int
    text: str
    fields: tuple[str, ...]


def decode(raw: bytes) -> tuple[str, str]:
    """The text in these bytes and the name of its encoding: ``(text, "utf-8")``. Never raises.

    A byte order mark decides; then UTF-16 without one, which shows in its NULs; then UTF-8; and what is none of these
    is cp1252, the encoding of Windows in the west, or latin-1, in which every byte means something.
    """
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace"), encoding
    even, odd = raw[:2000:2], raw[1:2000:2]
    for encoding, nuls, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if nuls.count(0) > len(nuls) * 0.8 and not others.count(0):
            return raw.decode(encoding, errors="replace"), encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "latin-1"


def rows(text: str) -> Iterator[Row]:
    """The records of a CSV, blank lines left out. Never raises.

    The columns are separated by whatever of comma, semicolon, tab and bar is frequent in the first lines.
    """
    lines = re.split(r"\r\n|\n|\r", text)
    separator = max(SEPARATORS, key="".join(lines[:10]).count)
    at, width = 0, 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        fields = _fields([lines[at]], separator)
        taken = 1
        if fields is None:
            taken, fields = _open_ended(lines[at : at + LONGEST_FIELD], separator, width)
        width = width or len(fields)
        yield Row(at + 1, "\n".join(lines[at : at + taken]), tuple(fields))
        at += taken


def _fields(lines: list[str], separator: str) -> list[str] | None:
    """The fields of the record that these lines are; None where a quote is open or stands where none may."""
    try:
        return next(csv.reader([f"{line}\n" for line in lines], delimiter=separator, strict=True))
    except (csv.Error, StopIteration):
        return None


def _open_ended(lines: list[str], separator: str, width: int) -> tuple[int, list[str]]:
    """How many lines a record with an open quote takes, and its fields.

    The field goes on in the next lines only if that makes a record of the header's ``width`` and swallows no line
    that is a record by itself. Otherwise the quote is a stray one, and the line is read as it stands.
    """
    for taken in range(2, len(lines) + 1):
        alone = _fields([lines[taken - 1]], separator)
        if alone is not None and len(alone) >= width:
            break
        fields = _fields(lines[:taken], separator)
        if fields is not None and len(fields) == width:
            return taken, fields
    return 1, _leniently(lines[0], separator)


def _leniently(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator))
    except (csv.Error, StopIteration):
        return line.split(separator)
