"""The share of the gateway's threads that one service may keep busy, so that a slow one leaves some for the others.

Over its share a service's requests wait for a place as long as those before them are quick, as in a burst of orders
that a service in good health works off. As soon as one of them takes longer than ``upstream_slow`` the service is slow,
and whoever comes then, or waits already, is refused at once. Nobody waits for longer than that either.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

from chassis.settings import Settings
from gateway_app.errors import UpstreamBusy


class Share:
    """One service's places. Any number of threads may use it."""

    def __init__(self, service: str, settings: Settings) -> None:
        self._service = service
        self._places = max(1, int(settings.gateway_threads * settings.upstream_share))
        self._slow = settings.upstream_slow
        self._changed = threading.Condition()
        #: When each request under way was begun; the first has been under way for longest.
        self._begun: dict[object, float] = {}

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Send a request inside this block. Raises UpstreamBusy where the service is slow and its share is taken."""
        request = object()
        self._take(request)
        try:
            yield
        finally:
            with self._changed:
                del self._begun[request]
                self._changed.notify()

    def _take(self, request: object) -> None:
        patience = time.monotonic() + self._slow
        with self._changed:
            while len(self._begun) >= self._places:
                longest = next(iter(self._begun.values()))
                left = min(longest + self._slow, patience) - time.monotonic()
                if left <= 0:
                    raise UpstreamBusy(
                        f"{self._service} is slow and has as many requests as it can be given; this one was not"
                        " carried out. Try again.",
                        retry_after=1,
                        may_have_been_executed=False,
                    )
                self._changed.wait(left)
            self._begun[request] = time.monotonic()
