"""Redis, which is never the only place where anything is kept.

Every call has a short time-out and, when Redis is away, says so by ``CacheAway``: the caller uses its fallback. After a
failure calls fail at once for a second, so that a hanging Redis costs one time-out and not one a request.

This speaks through redis-py's connections and not through its client, which costs two to three times the CPU;
the gateway makes two calls for each order.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
import structlog

from chassis.errors import ConveyorError

log = structlog.get_logger()

#: An outcome is kept this long (seconds): longer than anybody waits for it.
OUTCOME_TTL = 3_600

#: How long (seconds) Redis is left alone after it failed.
REST = 1.0

Part = str | bytes | int


class CacheAway(ConveyorError):
    """Redis cannot be reached or does not answer in time; use the fallback."""


class Cache:
    """One process's connections to Redis: as many as there are threads that use it at once."""

    def __init__(self, url: str, timeout: float) -> None:
        """``timeout`` in seconds holds for connecting and for each answer. Nothing connects yet."""
        pool = redis.ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, socket_keepalive=True, protocol=2
        )
        self._make: Callable[[], Any] = lambda: pool.connection_class(**pool.connection_kwargs)
        self._idle: deque[Any] = deque()
        self._rest_until = 0.0
        self._listener = Listener(self)
        self.timeout = timeout

    def command(self, *parts: Part) -> Any:
        """Redis' answer to one command. Raises CacheAway."""
        return self.commands([parts])[0]

    def commands(self, commands: list[tuple[Part, ...]]) -> list[Any]:
        """Redis' answers to several commands, in one round trip. Raises CacheAway.

        Redis may have closed an idle connection, so the commands may be sent twice: use such as do no harm then.
        """
        if time.monotonic() < self._rest_until:
            raise CacheAway("Redis did not answer a moment ago")
        try:
            connection, used_before = self._idle.pop(), True
        except IndexError:
            connection, used_before = self._make(), False
        try:
            try:
                answers = _exchange(connection, commands)
            except redis.ConnectionError:
                if not used_before:
                    raise
                answers = _exchange(connection, commands)
        except redis.RedisError as error:
            connection.disconnect()
            self.rest(error)
            raise CacheAway(str(error)) from error
        self._idle.append(connection)
        return answers

    def rest(self, reason: Exception) -> None:
        """Leave Redis alone for a moment."""
        self._rest_until = time.monotonic() + REST
        log.warning("cache_away", error=str(reason))

    def connection(self) -> Any:
        """A connection of the caller's own. Raises CacheAway."""
        if time.monotonic() < self._rest_until:
            raise CacheAway("Redis did not answer a moment ago")
        connection = self._make()
        try:
            connection.connect()
        except redis.RedisError as error:
            self.rest(error)
            raise CacheAway(str(error)) from error
        return connection

    def announce(self, outcomes: Mapping[str, str]) -> None:
        """Keep these outcomes for a while and tell whoever waits for them. Lost without harm when Redis is away."""
        commands: list[tuple[Part, ...]] = []
        for name, outcome in outcomes.items():
            commands.append(("SET", f"outcome:{name}", outcome, "EX", OUTCOME_TTL))
            commands.append(("PUBLISH", f"outcome:{name}", outcome))
        try:
            self.commands(commands)
        except CacheAway:
            log.info("announcement_lost", count=len(outcomes))

    @contextmanager
    def listening(self, name: str) -> Iterator[Callable[[float], bool]]:
        """Listen for one outcome's announcements; yields ``wait(seconds)``, true when something was announced.

        What is announced from now on is heard. Subscribe first, then read, then wait, then read again: Redis may go
        away in between. Raises CacheAway, ``wait`` too.
        """
        with self._listener.listening(f"outcome:{name}") as wait:
            yield wait


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

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._connection: Any = None
        self._ears: dict[bytes, list[Ear]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, channel: str) -> Iterator[Callable[[float], bool]]:
        """Subscribed, and confirmed to be, while the block runs. Raises CacheAway."""
        name, ear = channel.encode(), Ear()
        try:
            connection = self._subscribe(name, ear)
            if not ear.confirmed.wait(self._cache.timeout):
                self._lose(connection, TimeoutError("no confirmation of a subscription"))
            if ear.deaf:
                raise CacheAway("the connection that listens was lost")
            yield ear.wait
        finally:
            self._unsubscribe(name, ear)

    def _subscribe(self, name: bytes, ear: Ear) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = self._cache.connection()
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

    def _send(self, connection: Any, *parts: Part) -> None:
        """A connection that cannot be written to wakes its reader, which deals with it."""
        try:
            connection.send_command(*parts, check_health=False)
        except redis.RedisError as error:
            log.warning("cache_away", error=str(error))

    def _read(self, connection: Any) -> None:
        try:
            while True:
                kind, name, _value = connection.read_response(timeout=None)
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
        self._cache.rest(reason)
        connection.disconnect()
        for each in ears.values():
            for ear in each:
                ear.deaf = True
                ear.heard.set()
                ear.confirmed.set()


def _exchange(connection: Any, commands: list[tuple[Part, ...]]) -> list[Any]:
    connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    return [connection.read_response() for _ in commands]
