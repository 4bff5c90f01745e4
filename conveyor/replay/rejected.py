"""The rejects file, as it is read again: the lines of the order book, as they stood there."""

import csv
import re
from collections.abc import Iterator
from itertools import chain

from conveyor.replay.cells import from_text

#: The titles of its columns.
REJECTS = ("line", "reason", "text")
#: Its first line, also as a spreadsheet writes it that separates by another character than we do.
_TITLES = re.compile(r"line([,;\t])reason\1text\s")


def as_written(lines: Iterator[str]) -> Iterator[str]:
    """The lines of the order book whose rejects these lines list; any other lines as they are."""
    first = next(lines, "")
    titles = _TITLES.match(first + "\n")
    if titles is None:
        yield from chain([first], lines)
        return
    for record in csv.reader((f"{line}\n" for line in lines), delimiter=titles[1]):
        yield from from_text(titles[1].join(record[2:])).split("\n")
