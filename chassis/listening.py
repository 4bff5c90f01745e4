"""Hearing announcements in Redis: one connection and one thread for all that wait in a process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
import structlog

from chassis.errors import CacheAway
from chassis.sockets import ASK_AFTER

log = structlog.get_logger()


class Ear:
    """One waiter's side of a subscription."""

    def __init__(self) -> None:
        self.confirmed = threading.Event()
        self.heard = threading.Event()
        self.deaf = False

    def wait(self, seconds: float) -> bool:
        """Whether anything was announced since the last call, or is within so many seconds. Raises CacheAway."""
        heard = self.heard.wait(seconds)
        if self.deaf:
            raise CacheAway("the connection that listens was lost")
        self.heard.clear()
        return heard


class Listener:
    """One connection and one thread that listen for all waiters of a process; started by the first."""

    def __init__(self, connect: Callable[[], Any], rest: Callable[[Exception], None], timeout: float) -> None:
        """``rest`` is told of a lost connection; ``timeout`` (seconds) is for a subscription's confirmation."""
        self._connect, self._rest, self._timeout = connect, rest, timeout
        self._connection: Any = None
        self._ears: dict[bytes, list[Ear]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, channel: str) -> Iterator[Callable[[float], bool]]:
        """Subscribed, and confirmed to be, while the block runs. Raises CacheAway."""
        name, ear = channel.encode(), Ear()
        try:
            connection = self._subscribe(name, ear)
            if not ear.confirmed.wait(self._timeout):
                self._lose(connection, TimeoutError("no confirmation of a subscription"))
            if ear.deaf:
                raise CacheAway("the connection that listens was lost")
            yield ear.wait
        finally:
            self._unsubscribe(name, ear)

    def _subscribe(self, name: bytes, ear: Ear) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
                threading.Thread(target=self._read, args=(self._connection,), name="announcements", daemon=True).start()
            connection = self._connection
            self._ears.setdefault(name, []).append(ear)
            self._send(connection, "SUBSCRIBE", name)
        return connection

    def _unsubscribe(self, name: bytes, ear: Ear) -> None:
        with self._lock:
            ears = self._ears.get(name, [])
            if ear in ears:
                ears.remove(ear)
                if not ears:
                    del self._ears[name]
                    self._send(self._connection, "UNSUBSCRIBE", name)

    def _send(self, connection: Any, *parts: str | bytes) -> None:
        """A connection that cannot be written to wakes its reader, which deals with it."""
        try:
            connection.send_command(*parts, check_health=False)
        except redis.RedisError as error:
            log.warning("cache_away", error=str(error))

    def _read(self, connection: Any) -> None:
        try:
            asked = False
            while True:
                if not connection.can_read(timeout=ASK_AFTER):
                    if asked:
                        raise TimeoutError("Redis is silent")
                    asked = True
                    connection.send_command("PING", check_health=False)
                    continue
                asked = False
                kind, name, *_value = connection.read_response(timeout=None)
                with self._lock:
                    for ear in self._ears.get(name, ()):
                        if kind == b"subscribe":
                            ear.confirmed.set()
                        elif kind == b"message":
                            ear.heard.set()
        except Exception as error:  # whatever it is, those who wait have to be told
            self._lose(connection, error)

    def _lose(self, connection: Any, reason: Exception) -> None:
        """All who listen on this connection hear nothing more, and are told so."""
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
            ears, self._ears = self._ears, {}
        self._rest(reason)
        connection.disconnect()
        for each in ears.values():
            for ear in each:
                ear.deaf = True
                ear.heard.set()
                ear.confirmed.set()
