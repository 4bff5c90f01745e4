"""The rejects file: every line of an order book that was not sent, with its number and the reason.

It begins with the line that names the book's columns, and no cell of it is a formula to a spreadsheet. So the lines can
be looked at and corrected there, and a replay of this file sends what was corrected.
"""

import csv
import heapq
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from conveyor.replay.book import Reject
from conveyor.replay.cells import as_text
from conveyor.replay.rejected import REJECTS
from conveyor.terminal import say


def write_rejects(
    wanted: Path, header: Reject, rejects: Iterable[Reject], *, fallback: Path
) -> tuple[Path | None, int]:
    """Write the rejects, which come in the order of the file; where they are, None where that cannot be done.

    Returns how many lines they are, too. ``header`` is the line that names the columns; its text is empty where none
    does.

    A list left by an earlier replay is written anew even when nothing is rejected. Where ``wanted`` cannot be
    written, as beside a file on a read-only disk, ``fallback`` is tried: a replay does not stop for its list.
    """
    coming = iter(rejects)
    first = next(coming, None)
    if first is None and not wanted.exists():
        return None, 0
    rows = _with_header(header, chain([first], coming)) if first is not None else iter(())
    for path in dict.fromkeys((wanted, fallback)):
        written = 0
        try:
            with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(REJECTS)
                for written, each in enumerate(rows, start=1):  # noqa: B007 (how many is what is asked for)
                    writer.writerow((each.number, as_text(each.reason), as_text(each.text)))
            return path, written - bool(written and header.text)
        except OSError as error:
            say(f"The rejects cannot be written to {path}: {error.strerror}.", err=True)
            if written:
                return None, 0
    return None, 0


def _with_header(header: Reject, rejects: Iterable[Reject]) -> Iterator[Reject]:
    """The line that names the columns, in its place among the others."""
    names = [header] if header.text else []
    return heapq.merge(names, rejects, key=lambda each: each.number)
