"""The rejects file, as it is read again: the lines of the order book, as they stood there."""

import csv
import re
from io import StringIO

from conveyor.replay.cells import from_text

#: The titles of its columns.
REJECTS = ("line", "reason", "text")
#: Its first line, also as a spreadsheet writes it that separates by another character than we do.
_TITLES = re.compile(r"line([,;\t])reason\1text\s")


def as_written(text: str) -> str:
    """The order book whose rejects this text lists; any other text is returned as it is."""
    titles = _TITLES.match(text)
    if titles is None:
        return text
    records = csv.reader(StringIO(text, newline=""), delimiter=titles[1])
    next(records)
    return "\n".join(from_text(titles[1].join(record[2:])) for record in records)
