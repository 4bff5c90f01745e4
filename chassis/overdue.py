"""Answers of PostgreSQL's that are overdue: a connection on which one is, is closed.

The kernel notices a machine or a network that is gone (chassis.sockets). It does not notice a proxy that forgot the
connection and acknowledges all the same, nor a server that hangs: whoever waits there would wait for ever, though a new
connection might be served at once. PostgreSQL ends each statement after the time-out of its role; an answer that has
not come a few seconds later will not come.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import structlog
from psycopg2 import extensions

log = structlog.get_logger()

#: Seconds between two looks, and how long after a statement's time-out its answer may still be under way.
PAUSE, GRACE = 0.5, 3.0
#: Seconds for an answer to the question whether anybody is there; and to the first one of a connection, which may have
#: to wait for its turn behind PgBouncer.
AT_ONCE, AT_FIRST = 3.0, 10.0
NOTHING_ASKED = float("inf")
_LIMIT = "SELECT setting::float / 1000 FROM pg_settings WHERE name = 'statement_timeout'"


class Overdue:
    """The connections of one process, looked at by a thread of its own. Any number of threads may use them."""

    def __init__(self) -> None:
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._lock = threading.Lock()
        self._process = 0

    def add(self, connection: "WatchedConnection") -> None:
        with self._lock:
            if self._process != os.getpid():  # a fork has none of its parent's threads, and asks on none of these
                self._process, self._connections = os.getpid(), WeakSet()
                threading.Thread(target=self._watch, name="overdue", daemon=True).start()
            self._connections.add(connection)

    def _watch(self) -> None:
        looked = time.monotonic()
        while True:
            time.sleep(PAUSE)
            now = time.monotonic()
            if now - looked < 2 * PAUSE:  # else this process stood still, and the answer may be there unread
                self._close(now)
            looked = now

    def _close(self, now: float) -> None:
        with self._lock:
            late = [each for each in self._connections if each.answered_by < now]
        for connection in late:
            connection.answered_by = NOTHING_ASKED
            log.warning("database_silent", why="an answer is overdue, so the connection is closed")
            _shut(connection)


def _shut(connection: "WatchedConnection") -> None:
    """End the connection under whoever waits for it, as a server that closes it would."""
    if connection.closed:
        return
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
    except OSError as error:  # it has ended meanwhile
        log.info("connection_ended", error=str(error))


_overdue = Overdue()


class WatchedCursor(extensions.cursor):  # type: ignore[misc]
    """Asks nothing without a time within which it is answered; that is all, since it runs for each statement."""

    def execute(self, *given: Any) -> None:
        connection = self.connection
        connection.answered_by = time.monotonic() + connection.answers_within
        try:
            super().execute(*given)
        finally:
            connection.answered_by = NOTHING_ASKED


class WatchedConnection(extensions.connection):  # type: ignore[misc]
    """The driver's connection; closed where an answer is overdue. What waits there then gets a lost connection."""

    answers_within = AT_FIRST
    answered_by = NOTHING_ASKED

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.cursor_factory = WatchedCursor
        _overdue.add(self)

    def commit(self) -> None:
        self._end(super().commit)

    def rollback(self) -> None:
        self._end(super().rollback)

    @contextmanager
    def answering_at_once(self) -> Iterator[None]:
        """What is asked in the block is no work, so its answer is due within ``AT_ONCE``."""
        usual, self.answers_within = self.answers_within, AT_ONCE
        try:
            yield
        finally:
            self.answers_within = usual

    def _end(self, ends: Callable[[], None]) -> None:
        self.answered_by = time.monotonic() + self.answers_within
        try:
            ends()
        finally:
            self.answered_by = NOTHING_ASKED


def ask_for_limit(connection: Any, _record: object) -> None:
    """How long a statement may take is a matter of the role's, which the server tells; for a new connection."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMIT)
        [limit] = cursor.fetchone()
    connection.rollback()
    connection.answers_within = limit + GRACE if limit else float("inf")
