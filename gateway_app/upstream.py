"""The HTTP client to one service: pooled connections, short timeouts, and what a failure means for the request.

A service that does not answer is left alone for a while (gateway_app.circuit), and one that is slow keeps no more than
its share of the gateway's threads (gateway_app.share).
"""

from http.client import RemoteDisconnected

import msgspec
import structlog
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.connectionpool import connection_from_url
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.util import parse_url

from chassis.errors import Unavailable
from chassis.settings import Settings
from gateway_app.circuit import Circuit
from gateway_app.errors import UpstreamBroken, UpstreamDown, UpstreamTimeout
from gateway_app.share import Share

log = structlog.get_logger()

#: What of a service's answer reaches the client. Everything else is between the two of us.
ANSWER_HEADERS = ("Content-Type", "Location", "ETag", "Retry-After", "Allow", "Idempotent-Replayed", "Cache-Control")


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
        self._prefix = (parse_url(url).path or "").rstrip("/")
        self._pool = connection_from_url(url, maxsize=settings.gateway_threads)
        self._timeout = Timeout(connect=settings.upstream_connect_timeout, read=settings.upstream_timeout)
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
        limits = self._timeout if timeout is None else Timeout(connect=timeout, read=timeout)
        try:
            return self._exchange(request, limits)
        except HTTPError as error:
            if not (request.repeatable and _closed_unanswered(error)):
                raise self._failure(request, error) from error
        try:
            return self._exchange(request, limits)
        except HTTPError as error:
            log.warning("upstream_failed", service=self.name, error=str(error))
            raise UpstreamBroken(f"{self.name} broke off. {_unclear(request)}", **_executed(request)) from error

    def _exchange(self, request: Request, limits: Timeout) -> Answer:
        answer = self._pool.urlopen(
            request.method,
            self._prefix + request.target,
            body=request.body,
            headers=request.headers,
            retries=False,
            redirect=False,
            timeout=limits,
            decode_content=False,
        )
        if answer.status >= 400 and not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
            detail = f"{self.name} failed without an explanation (status {answer.status}). {_unclear(request)}"
            log.warning("upstream_failed", service=self.name, error=detail)
            raise UpstreamBroken(detail, **_executed(request))
        return Answer(answer.status, _passed_on(answer), answer.data)

    def _failure(self, request: Request, error: HTTPError) -> Unavailable:
        log.warning("upstream_failed", service=self.name, error=str(error))
        if isinstance(error, NewConnectionError | ConnectTimeoutError):
            return UpstreamDown(
                f"{self.name} cannot be reached; the request was not carried out. Try again.",
                retry_after=1,
                may_have_been_executed=False,
            )
        if isinstance(error, ReadTimeoutError):
            return UpstreamTimeout(f"{self.name} did not answer in time. {_unclear(request)}", **_executed(request))
        return UpstreamBroken(f"The answer of {self.name} broke off. {_unclear(request)}", **_executed(request))


def _passed_on(answer: BaseHTTPResponse) -> dict[str, str]:
    given = answer.headers
    return {name: given[name] for name in ANSWER_HEADERS if name in given}


def _closed_unanswered(error: HTTPError) -> bool:
    """True when the connection ended before the first byte of an answer."""
    reasons = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
    return isinstance(error, ProtocolError) and any(isinstance(each, reasons) for each in error.args)


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
