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
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, event

log = structlog.get_logger()

#: Seconds between two looks, and how long after a statement's time-out its answer may still be under way.
PAUSE, GRACE = 0.5, 3.0
#: Seconds for an answer to the question whether anybody is there; and to the first one of a connection, which may have
#: to wait for its turn behind PgBouncer.
AT_ONCE, AT_FIRST = 3.0, 10.0
_LIMIT = "SELECT setting::float / 1000 FROM pg_settings WHERE name = 'statement_timeout'"


class Overdue:
    """The answers that one process waits for. Any number of threads may use it; a thread of its own looks at them."""

    def __init__(self) -> None:
        self._owed: dict[int, tuple[float, Any]] = {}
        self._process = 0
        self._starting = threading.Lock()

    def expect(self, connection: Any, seconds: float) -> None:
        """The driver's connection is asked something that is answered within so long."""
        if self._process != os.getpid():
            self._start()
        self._owed[id(connection)] = (time.monotonic() + seconds, connection)

    def answered(self, connection: Any) -> None:
        """It was; or nobody waits any more."""
        self._owed.pop(id(connection), None)

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():  # a fork has none of its parent's threads
                self._owed.clear()
                self._process = os.getpid()
                threading.Thread(target=self._watch, name="overdue", daemon=True).start()

    def _watch(self) -> None:
        looked = time.monotonic()
        while True:
            time.sleep(PAUSE)
            now = time.monotonic()
            if now - looked < 2 * PAUSE:  # else this process stood still, and the answer may be there unread
                self._close(now)
            looked = now

    def _close(self, now: float) -> None:
        for key, owed in self._owed.copy().items():
            deadline, connection = owed
            if deadline < now and self._owed.get(key) is owed:
                self.answered(connection)
                log.warning("database_silent", why="an answer is overdue, so the connection is closed")
                _shut(connection)


def _shut(connection: Any) -> None:
    """End the connection under whoever waits for it, as a server that closes it would."""
    if connection.closed:
        return
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
    except OSError as error:  # it has ended meanwhile
        log.info("connection_ended", error=str(error))


_overdue = Overdue()
expect, answered = _overdue.expect, _overdue.answered


def watch(engine: Engine) -> None:
    """Close connections of this engine's on which an answer is overdue. What waits there gets a lost connection."""
    event.listen(engine, "connect", _ask_for_limit)
    event.listen(engine, "before_cursor_execute", _before)
    event.listen(engine, "after_cursor_execute", lambda _connection, cursor, *_: answered(cursor.connection))
    event.listen(engine, "commit", _before_end)
    event.listen(engine, "rollback", _before_end)
    event.listen(engine, "checkin", lambda connection, _record: answered(connection))


def _ask_for_limit(connection: Any, record: Any) -> None:
    """How long a statement may take is a matter of the role's, which the server tells."""
    expect(connection, AT_FIRST)
    with connection.cursor() as cursor:
        cursor.execute(_LIMIT)
        [limit] = cursor.fetchone()
    connection.rollback()
    answered(connection)
    record.info["answers_within"] = limit + GRACE if limit else float("inf")


def _before(connection: Connection, cursor: Any, *_: Any) -> None:
    expect(cursor.connection, connection.info["answers_within"])


def _before_end(connection: Connection) -> None:
    if not connection.invalidated:  # else there is nothing left to end
        expect(connection.connection.dbapi_connection, connection.info["answers_within"])
