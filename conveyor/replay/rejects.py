"""The rejects file: every line of an order book that was not sent, with its number and the reason.

It begins with the line that names the book's columns, and no cell of it is a formula to a spreadsheet. So the lines can
be looked at and corrected there, and a replay of this file sends what was corrected.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from conveyor.replay.book import Reject
from conveyor.replay.cells import as_text
from conveyor.replay.rejected import REJECTS
from conveyor.terminal import say


def write_rejects(wanted: Path, header: Reject, rejects: Iterable[Reject], *, fallback: Path) -> Path | None:
    """Write the rejects, in the order of the file, and say where they are; None where that cannot be done.

    ``header`` is the line that names the columns.

    A list left by an earlier replay is written anew even when nothing is rejected. Where ``wanted`` cannot be
    written, as beside a file on a read-only disk, ``fallback`` is tried: a replay does not stop for its list.
    """
    rows = sorted(rejects, key=lambda each: each.number)
    if rows:
        rows = sorted([header, *rows], key=lambda each: each.number)
    elif not wanted.exists():
        return None
    for path in dict.fromkeys((wanted, fallback)):
        try:
            _write(path, rows)
            return path
        except OSError as error:
            say(f"The rejects cannot be written to {path}: {error.strerror}.", err=True)
    return None


def _write(path: Path, rows: Iterable[Reject]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(REJECTS)
        writer.writerows((each.number, as_text(each.reason), as_text(each.text)) for each in rows)
