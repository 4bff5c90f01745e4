"""``conveyor logs``: the logs of the stack that runs here, or ran here, in one stream."""

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import click

from chassis.errors import ConveyorError
from chassis.output import reader_gone
from conveyor.ranges import WholeRange
from conveyor.target import target
from conveyor.terminal import say

#: What of a file's end is looked at for its last lines, in bytes.
TAIL = 1_000_000
#: Seconds between two looks of --follow.
PAUSE = 0.25
#: Some servers colour what they write, whoever reads it, or end lines as Windows does.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m|\r+$")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?")


class NoLogs(ConveyorError):
    """There is nothing to show."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option("-n", "--lines", type=WholeRange(min=0), default=10, show_default=True, help="Of each log, the last.")
def logs(names: tuple[str, ...], follow: bool, lines: int) -> None:
    """Show the logs of the processes that `conveyor run` has started, or of those with NAME only.

    \b
      conveyor logs                           the last lines of all, in the order in which they were written
      conveyor logs worker -f                 all workers, as they write
      conveyor logs sweeper --lines 100
      conveyor logs -n 1000 | grep ORDER_ID   one order through all processes

    A NAME stands for every log that begins with it. The logs are files in .conveyor/logs (CONVEYOR_STATE_DIR).
    """
    files = _chosen(Path(target().state_dir) / "logs", names)
    width = max(len(file.stem) for file in files)
    ends = {file: _size(file) for file in files}
    with suppress(KeyboardInterrupt):
        for name, line in chain(last_lines(files, lines), new_lines(ends) if follow else ()):
            say(f"{name:<{width}} | {_COLOUR.sub('', line)}")
            if reader_gone():
                return


def _chosen(folder: Path, names: Iterable[str]) -> list[Path]:
    moved = {file.with_suffix("") for file in folder.glob("*.log.1")}
    files = sorted({*folder.glob("*.log"), *moved})
    if not files:
        raise NoLogs(f"there are no logs in {folder}: `conveyor run` writes them")
    for name in names:
        if not any(file.stem.startswith(name) for file in files):
            raise NoLogs(f"there is no log {name}: {', '.join(file.stem for file in files)}")
    return [file for file in files if not names or file.stem.startswith(tuple(names))]


def last_lines(files: Iterable[Path], count: int) -> Iterator[tuple[str, str]]:
    """The last lines of each log as (name, line), in the order of the times in them.

    A line without a time (of a traceback, say) stays behind the one before it.
    """
    dated: list[tuple[str, str, str]] = []
    for file in files:
        moment = ""
        for line in _tail(file, count):
            found = _MOMENT.search(line)
            moment = found.group().replace("T", " ").replace(",", ".") if found else moment
            dated.append((moment, file.stem, line))
    for _, name, line in sorted(dated, key=lambda each: each[0]):
        yield name, line


def _tail(file: Path, count: int) -> Iterable[str]:
    """The last lines of a log; where it was begun anew a moment ago, of the one before it as well."""
    lines = _lines(file)
    if len(lines) < count:
        lines = _lines(file.with_name(f"{file.name}.1")) + lines
    return deque(lines, maxlen=count)


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - TAIL))
            written = opened.read(TAIL).decode(errors="replace").removesuffix("\n")
    except FileNotFoundError:
        return []
    return written.split("\n") if written else []


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def new_lines(ends: dict[Path, int]) -> Iterator[tuple[str, str]]:
    """What is written to these logs behind ``ends``, as (name, line), for ever. A log that begins anew is followed."""
    unfinished: dict[Path, bytes] = {}
    while True:
        for file, end in ends.items():
            size = _size(file)
            if size == end:
                continue
            if size == 0:  # moved away, or cut to nothing
                ends[file] = 0
                continue
            with file.open("rb") as opened:
                opened.seek(end if size > end else 0)
                written = unfinished.pop(file, b"") + opened.read()
                ends[file] = opened.tell()
            *whole, unfinished[file] = written.split(b"\n")
            for line in whole:
                yield file.stem, line.decode(errors="replace")
        time.sleep(PAUSE)
