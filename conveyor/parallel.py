"""The same work on many items, several at a time, with its progress shown to whoever waits for it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import click

from conveyor.terminal import say

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Without a terminal, a line is printed at each of so many equal parts of the way.
PARTS = 4


def each(work: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> Iterator[Result]:
    """The results of ``work`` on every item, as they come ready; items are begun in their order.

    The first exception of ``work`` comes out here. Whoever leaves early (an exception, Ctrl-C) drops what has not
    begun, and does not wait for what has.
    """
    pool = ThreadPoolExecutor(concurrency)
    try:
        for finished in as_completed([pool.submit(work, item) for item in items]):
            yield finished.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a long work is: a bar on a terminal, a plain line now and then otherwise, both on stderr.

    Gives a function that takes how many more of ``total`` are done. Call it from one thread.
    """
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=label, file=sys.stderr, show_pos=True) as bar:
            yield bar.update
        return
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        part, done = done * PARTS // max(total, 1), done + more
        if done * PARTS // max(total, 1) > part:
            say(f"{label}: {done:,} of {total:,}", err=True)

    yield advance
