"""Redis, which is never the only place where anything is kept.

Every call has a short time-out and, when Redis is away, says so by ``CacheAway``: the caller uses its fallback. After a
failure calls fail at once for a second, so that a hanging Redis costs one time-out and not one a request.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
import structlog

from chassis.errors import ConveyorError

log = structlog.get_logger()
Result = TypeVar("Result")

#: An outcome is kept this long (seconds): longer than anybody waits for it.
OUTCOME_TTL = 3_600


class CacheAway(ConveyorError):
    """Redis cannot be reached or does not answer in time; use the fallback."""


class Cache:
    """One process's connections to Redis."""

    def __init__(self, url: str, timeout: float) -> None:
        """``timeout`` in seconds holds for connecting and for each answer."""
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            protocol=2,
            retry=None,
            decode_responses=False,
        )
        self._timeout = timeout
        self._rest_until = 0.0
        self._lock = threading.Lock()

    def call(self, action: Callable[[Any], Result]) -> Result:
        """Do this with the Redis client. Raises CacheAway."""
        if time.monotonic() < self._rest_until:
            raise CacheAway("Redis did not answer a moment ago")
        try:
            return action(self._redis)
        except redis.RedisError as error:
            with self._lock:
                self._rest_until = time.monotonic() + 1
            log.warning("cache_away", error=str(error))
            raise CacheAway(str(error)) from error

    def announce(self, outcomes: Mapping[str, str]) -> None:
        """Keep these outcomes for a while and tell whoever waits for them. Lost without harm when Redis is away."""

        def send(client: Any) -> None:
            with client.pipeline(transaction=False) as pipe:
                for name, outcome in outcomes.items():
                    pipe.set(f"outcome:{name}", outcome, ex=OUTCOME_TTL)
                    pipe.publish(f"outcome:{name}", outcome)
                pipe.execute()

        try:
            self.call(send)
        except CacheAway:
            log.info("announcement_lost", count=len(outcomes))

    @contextmanager
    def listening(self, name: str) -> Iterator[Callable[[float], bool]]:
        """Listen for one outcome's announcement; yields ``wait(seconds)``, true when something was announced.

        Subscribe first, then read, then wait, then read again: a wake-up can be lost. Raises CacheAway.
        """
        pubsub = self.call(lambda client: client.pubsub(ignore_subscribe_messages=True))
        try:
            self.call(lambda _client: pubsub.subscribe(f"outcome:{name}"))
            self.call(lambda _client: pubsub.get_message(timeout=self._timeout))

            def wait(seconds: float) -> bool:
                return self.call(lambda _client: pubsub.get_message(timeout=seconds)) is not None

            yield wait
        finally:
            pubsub.close()
