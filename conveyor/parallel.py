"""The same work on many items, several at a time, with its progress shown to whoever waits for it."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

import click

from conveyor.terminal import say, say_in_place

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Without a terminal, a line is printed at each of so many equal parts of the way.
PARTS = 4
#: So many items are taken for each that is worked on.
AHEAD = 4
#: Seconds until somebody at a terminal is told what is being waited for.
QUIET = 0.7


def each(work: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> Iterator[Result]:
    """The results of ``work`` on every item, as they come ready; items are begun in their order.

    Items are taken as they are needed, a few ahead: there may be any number of them. The first exception of ``work``
    comes out here. Whoever leaves early (an exception, Ctrl-C) drops what has not begun, and does not wait for what
    has.
    """
    pool = ThreadPoolExecutor(concurrency)
    coming = iter(items)
    try:
        waiting = {pool.submit(work, item) for item in islice(coming, AHEAD * concurrency)}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(work, item) for item in islice(coming, len(finished))}
            for each_of_them in finished:
                yield each_of_them.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def within(seconds: float, works: Mapping[str, Callable[[], Result]]) -> dict[str, Result | Exception]:
    """What each of these came to, all begun at once: its result, or what it raised, TimeoutError where it took longer.

    Nothing is waited for any longer than that, not even at the end of the process. At a terminal stderr says meanwhile
    what is waited for.
    """
    finished: SimpleQueue[tuple[str, Result | Exception]] = SimpleQueue()

    def do(name: str, work: Callable[[], Result]) -> None:
        try:
            finished.put((name, work()))
        except Exception as error:  # whatever it is, it belongs to whoever asked
            finished.put((name, error))

    for name, work in works.items():
        threading.Thread(target=do, args=(name, work), name=name, daemon=True).start()
    results: dict[str, Result | Exception] = {}
    begun = time.monotonic()
    while len(results) < len(works) and (left := begun + seconds - time.monotonic()) > 0:
        told = time.monotonic() - begun >= QUIET
        if told:
            say_in_place(f"waiting for {', '.join(name for name in works if name not in results)} ...")
        with suppress(Empty):
            name, result = finished.get(timeout=left if told else min(left, QUIET))
            results[name] = result
    say_in_place("")
    slow = {name: TimeoutError(f"no answer within {seconds:.0f} s") for name in works if name not in results}
    return {name: {**results, **slow}[name] for name in works}


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
