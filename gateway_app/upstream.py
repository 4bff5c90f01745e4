"""The HTTP client to one service: pooled connections, short timeouts, and what a failure means for the request.

A service that does not answer is left alone for a while (gateway_app.circuit), and one that is slow keeps no more than
its share of the gateway's threads (gateway_app.share).
"""

import contextlib
import time
from collections import deque

import msgspec
import structlog

from chassis.errors import Unavailable
from chassis.settings import Settings
from gateway_app.circuit import Circuit
from gateway_app.connection import Address, ClosedUnanswered, Connection, ExchangeFailed, NotConnected, Reply, TimedOut
from gateway_app.errors import UpstreamBroken, UpstreamDown, UpstreamTimeout
from gateway_app.share import Share

log = structlog.get_logger()

#: Seconds after which a connection that was not used is not used again, or half of the time that a service leaves one
#: idle, if that is less: well before the service closes it.
LONGEST_IDLE = 5.0
#: Seconds after which a connection is looked at even for a read.
FRESH_FOR = 1.0

#: What of a service's answer reaches the client. Everything else is between the two of us.
ANSWER_HEADERS = ("Content-Type", "Location", "ETag", "Retry-After", "Allow", "Idempotent-Replayed", "Cache-Control")
_ANSWER_HEADERS = tuple((name.lower(), name) for name in ANSWER_HEADERS)


class Request(msgspec.Struct, frozen=True):
    """A request to a service. ``target`` is path and query, raw."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None = None
    #: It changes nothing, whatever becomes of it.
    reads: bool = True
    #: Sending it twice does no more than sending it once.
    repeatable: bool = True


class Answer(msgspec.Struct, frozen=True):
    """A service's answer, with the headers that go on to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


class Upstream:
    """One service as the gateway sees it."""

    def __init__(self, name: str, url: str, settings: Settings) -> None:
        """``url`` may have a path, which is put before every target. Nothing connects yet."""
        self.name = name
        self._address = Address(url)
        #: Never more than there are threads that send at once; those that were used last are on the right.
        self._idle: deque[Connection] = deque()
        self._longest_idle = min(LONGEST_IDLE, settings.idle_time / 2)
        self._connect_timeout, self._timeout = settings.upstream_connect_timeout, settings.upstream_timeout
        self._circuit = Circuit(name, settings)
        self._share = Share(name, settings)

    def send(self, request: Request, timeout: float | None = None) -> Answer:
        """The service's answer, whatever its status. ``timeout`` (seconds) replaces the one in the settings.

        Raises UpstreamDown, UpstreamTimeout, UpstreamBroken; CircuitOpen and UpstreamBusy without asking the service.
        """
        with self._circuit.passing(), self._share.place():
            return self.ask(request, timeout)

    def ask(self, request: Request, timeout: float | None = None) -> Answer:
        """``send``, to a service of which nothing is assumed: it is asked, however it has answered before.

        A kept-alive connection may have been closed by the service just as it was used again: then the request is sent
        once more, if that does no harm. Raises UpstreamDown, UpstreamTimeout, UpstreamBroken.
        """
        try:
            return self._answer(request, self._exchange(request, timeout))
        except ExchangeFailed as error:
            if not (request.repeatable and isinstance(error, ClosedUnanswered)):
                raise self._failure(request, error) from error
        try:
            return self._answer(request, self._exchange(request, timeout, kept=False))
        except ExchangeFailed as error:
            if request.reads:
                raise self._failure(request, error) from error
            log.warning("upstream_failed", service=self.name, error=str(error))
            raise UpstreamBroken(f"{self.name} broke off. {_unclear(request)}", **_executed(request)) from error

    def _exchange(self, request: Request, timeout: float | None, *, kept: bool = True) -> Reply:
        message = self._address.request(request.method, request.target, request.headers, request.body)
        connection = self._kept(request) if kept else None
        connection = connection or self._address.connect(timeout or self._connect_timeout)
        try:
            return connection.exchange(message, timeout or self._timeout)
        finally:
            if connection.reusable:
                self._keep(connection)
            else:
                connection.close()

    def _keep(self, connection: Connection) -> None:
        """Let the connection be used again, and end the one that was not for longest, where that is too long."""
        connection.used_at = time.monotonic()
        self._idle.append(connection)
        with contextlib.suppress(IndexError):  # another thread was quicker
            if connection.used_at - self._idle[0].used_at > self._longest_idle:
                self._idle.popleft().close()

    def _kept(self, request: Request) -> Connection | None:
        """The connection that was used last, since a service closes those that are idle for long; None without any.

        It may have been closed meanwhile. A read is not worth the look, a tenth of its cost, on a connection that was
        used just now: it is sent again anyway.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            idle = time.monotonic() - connection.used_at
            if idle < self._longest_idle and ((request.reads and idle < FRESH_FOR) or not connection.was_closed()):
                return connection
            connection.close()

    def _answer(self, request: Request, reply: Reply) -> Answer:
        if reply.status >= 400 and not reply.headers.get("content-type", "").startswith("application/problem+json"):
            detail = f"{self.name} failed without an explanation (status {reply.status}). {_unclear(request)}"
            log.warning("upstream_failed", service=self.name, error=detail)
            raise UpstreamBroken(detail, **_executed(request))
        given = reply.headers
        return Answer(reply.status, {name: given[low] for low, name in _ANSWER_HEADERS if low in given}, reply.body)

    def _failure(self, request: Request, error: ExchangeFailed) -> Unavailable:
        log.warning("upstream_failed", service=self.name, error=str(error))
        if isinstance(error, NotConnected):
            return UpstreamDown(
                f"{self.name} cannot be reached; the request was not carried out. Try again.",
                retry_after=1,
                may_have_been_executed=False,
            )
        if isinstance(error, TimedOut):
            return UpstreamTimeout(f"{self.name} did not answer in time. {_unclear(request)}", **_executed(request))
        return UpstreamBroken(f"The answer of {self.name} broke off. {_unclear(request)}", **_executed(request))


def _executed(request: Request) -> dict[str, bool]:
    return {"may_have_been_executed": not request.reads}


def _unclear(request: Request) -> str:
    """What the client should do about a request that got no answer."""
    if request.reads:
        return "Nothing was changed. Try again."
    if "Idempotency-Key" in request.headers:
        return "The request may have been carried out: send it again with the same Idempotency-Key, it is done once."
    if request.repeatable:
        return "The request may have been carried out; it is safe to send it again."
    return "The request may have been carried out: read the current state before sending it again."
