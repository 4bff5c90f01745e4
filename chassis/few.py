"""Few places for work that may take long: it takes neither all threads nor all connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from chassis.errors import Unavailable

#: Seconds that one waits for one's turn: with the wait for the row itself still less than the gateway waits.
LONGEST_WAIT = 2.0


def few_of(sessions: sessionmaker[Session], threads: int) -> "Few":
    """Places for those who wait for rows: on half of the connections at most, in half of the threads."""
    pool: Any = sessions.kw["bind"].pool
    return Few(int(pool.size()) // 2, threads // 2)


class Few:
    """Any number of threads may ask for a place; few get one."""

    def __init__(self, at_once: int, most: int) -> None:
        """``at_once`` work at the same time; ``most`` are here at the same time, those who wait for that included."""
        self._turns = threading.BoundedSemaphore(max(1, at_once))
        self._places = threading.BoundedSemaphore(max(1, most))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Work inside this block, when it is one's turn. Raises Unavailable where that does not come soon."""
        if not self._places.acquire(blocking=False):
            raise _taken()
        try:
            if not self._turns.acquire(timeout=LONGEST_WAIT):
                raise _taken()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _taken() -> Unavailable:
    return Unavailable(
        "Another transaction holds what this request needs, and others wait already; nothing was changed. Try again."
    )
