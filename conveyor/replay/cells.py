r"""Cells of a CSV that a spreadsheet would run: they are written as text, and read back as they were.

A spreadsheet takes a cell that begins with one of ``= + - @``, a tab or a line break for a formula. An apostrophe
before it says that it is text; one more stands before a cell that has apostrophes there already, so that nothing is
lost. A number is left as it is. A line of an order book is a cell as a whole, but a spreadsheet that separates by other
characters than we do sees several: the cells within it are treated in the same way.
"""

import re

#: Where a cell may begin (at the start, behind a separator or a quote), with the apostrophes that stand there.
_BEGINNING = r"(?<![^,;|\t\r\n\"])('{0})(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_NUMBER = re.compile(r"-\d+(?:[.,]\d+)*(?=$|[,;|\t\r\n\"])")
_TO_WRITE = re.compile(_BEGINNING.format("*"))
_TO_READ = re.compile(_BEGINNING.format("+"))


def as_text(cell: str) -> str:
    """The cell as it can be put into a CSV."""

    def guarded(found: re.Match[str]) -> str:
        is_number = not found[1] and _NUMBER.match(cell, found.end())
        return found[1] if is_number else f"'{found[1]}"

    return _TO_WRITE.sub(guarded, cell)


def from_text(cell: str) -> str:
    """What was put into the CSV as this cell."""
    return _TO_READ.sub(lambda found: found[1][1:], cell)
