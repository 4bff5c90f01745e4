"""Redis, which is never the only place where anything is kept.

Every call has a short time-out and, when Redis is away, says so by ``CacheAway``: the caller uses its fallback. After a
failure calls fail at once for a second, so that a hanging Redis costs one time-out and not one a request.

Commands go over connections of our own (chassis.resp), since the gateway sends two for each order.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
import structlog

from chassis.errors import CacheAway
from chassis.listening import Listener
from chassis.resp import CommandConnection, Part
from chassis.sockets import OPTIONS

log = structlog.get_logger()

#: An outcome is kept this long (seconds): longer than anybody waits for it.
OUTCOME_TTL = 3_600

#: How long (seconds) Redis is left alone after it failed.
REST = 1.0


class Cache:
    """One process's connections to Redis: as many as there are threads that use it at once."""

    def __init__(self, url: str, timeout: float) -> None:
        """``timeout`` in seconds holds for connecting and for each answer. Nothing connects yet."""
        pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            socket_keepalive_options=OPTIONS,
            protocol=2,
        )
        self._make: Callable[[], Any] = lambda: pool.connection_class(**pool.connection_kwargs)
        self._timeout = timeout
        self._idle: deque[CommandConnection] = deque()
        self._rest_until = 0.0
        self._listener = Listener(self.connection, self.rest, timeout)

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
            connection, used_before = CommandConnection(self._make(), self._timeout), False
        try:
            try:
                answers = connection.exchange(commands)
            except redis.ConnectionError:
                if not used_before:
                    raise
                connection.close()
                answers = connection.exchange(commands)
        except redis.RedisError as error:
            connection.close()
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
