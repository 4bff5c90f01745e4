"""The one HTTP client of the command line: it speaks to the gateway, and only to the gateway.

    GatewayError
    ├── NoGateway      nothing says where it is
    ├── Unreachable    nobody answers at the gateway's address
    │   └── BrokenOff  it was sent a request that changes something, and no answer came
    └── Refused        the gateway answered, and not with a success

A request that may be sent twice (a GET, or a POST with an idempotency key and without a precondition) is repeated while
the gateway is away or busy, for as long as ``patience`` says. Every other request is sent once.
"""

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from chassis.codes import nfc
from chassis.errors import ConveyorError
from chassis.printable import printable

JSON = dict[str, Any]

#: Answers that say "not now": the same request, sent again, may succeed.
BUSY = frozenset({429, 502, 503, 504})
#: Seconds between two tries; the last one repeats. A longer Retry-After is honoured.
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
#: Characters of the longest idempotency key that the gateway takes.
LONGEST_KEY = 255


class GatewayError(ConveyorError):
    """The gateway did not do what was asked."""


class Unreachable(GatewayError):
    """Nobody answers at the gateway's address."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(
            f"The gateway at {url} does not answer ({type(cause).__name__}). Is it running? "
            "CONVEYOR_GATEWAY_URL says where the command line looks for it."
        )


class BrokenOff(Unreachable):
    """The gateway was sent a request that changes something, and no answer came."""

    def __init__(self, url: str, cause: Exception, keyed: bool) -> None:
        advice = "send it again under the same key" if keyed else "look before you send it again"
        GatewayError.__init__(
            self,
            f"The gateway at {url} was sent the request and did not answer ({type(cause).__name__}). It may have been "
            f"carried out: {advice}.",
        )


class NoGateway(GatewayError):
    """Nothing says where the gateway is."""

    def __init__(self) -> None:
        super().__init__(
            "no gateway is known: no stack runs in this folder or above it. Start one (`conveyor run`), go to its "
            "folder, or name it with CONVEYOR_STATE_DIR or CONVEYOR_GATEWAY_URL"
        )


class Refused(GatewayError):
    """The gateway answered with a problem: ``status``, a stable ``code``, and ``detail``, a sentence for people."""

    def __init__(self, status: int, problem: JSON, retry_after: float = 0.0) -> None:
        """``problem`` is the members of the problem document, ``retry_after`` is in seconds."""
        self.status, self.problem, self.retry_after = status, problem, retry_after
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = printable(str(problem.get("detail") or problem.get("title") or responses.get(status, "Refused")))
        rows = problem.get("errors")
        self.errors: list[JSON] = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        fields = "".join("\n  " + printable(f"{row.get('field')}: {row.get('message')}") for row in self.errors)
        known = problem.get("correlation_id")
        trace = "\n  " + printable(f"correlation id: {known}") if known else ""
        super().__init__(f"{self.detail} ({status} {self.code}){fields}{trace}")

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        # A gateway of version 0.1.0 says 409 while the first copy of a request is under way.
        return self.status in BUSY or self.code == "idempotency_key_in_progress"


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its status, its JSON body, and its headers."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def replayed(self) -> bool:
        """Whether this is the stored answer to an earlier copy of the request."""
        return self.headers.get("Idempotent-Replayed", "").lower() == "true"


class Gateway:
    """A connection pool to one gateway; up to ``connections`` threads share it without waiting for each other.

    ``patience``: for how many seconds a request that may be repeated is repeated while the gateway is away or busy;
    0 asks once. ``timeout``: how many seconds one answer may take.
    """

    def __init__(self, url: str, *, connections: int = 1, timeout: float = 35.0, patience: float = 0.0) -> None:
        if not url:
            raise NoGateway()
        self.url = url.rstrip("/")
        self._patience = patience
        self._stopped = threading.Event()
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=5.0, read=timeout),
        )

    def stop(self) -> None:
        """Repeat nothing from now on: whoever waits for a busy gateway gets its error at once."""
        self._stopped.set()

    def get(self, path: str, **query: str | int) -> Answer:
        """Read something. Raises GatewayError."""
        where = f"{path}?{urlencode(query)}" if query else path
        return self._patiently(lambda: self._send("GET", where))

    def every(self, path: str, **query: str | int) -> Iterator[JSON]:
        """All items of a list, page after page. Raises GatewayError."""
        while True:
            page = self.get(path, **query).body
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]

    def post(
        self, path: str, body: JSON, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Create or ask for something; with ``key``, an idempotency key, once however often it is sent.

        Raises GatewayError.
        """
        if key is None:
            return self._send("POST", path, body, headers)
        keyed = {**(headers or {}), "Idempotency-Key": _header(key)}
        if "If-Match" in keyed:  # the second copy may be refused for what the first one did
            return self._send("POST", path, body, keyed)
        return self._patiently(lambda: self._send("POST", path, body, keyed))

    def patch(self, path: str, body: JSON, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Change something. Raises GatewayError."""
        return self._send("PATCH", path, body, headers)

    def _patiently(self, send: Callable[[], Answer]) -> Answer:
        deadline = time.monotonic() + self._patience
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                return send()
            except Unreachable:
                if not self._may_wait(pause, deadline):
                    raise
            except Refused as refusal:
                if not refusal.passing or not self._may_wait(max(pause, refusal.retry_after), deadline):
                    raise
        raise AssertionError("the pauses never run out")

    def _may_wait(self, pause: float, deadline: float) -> bool:
        left = deadline - time.monotonic()
        return left > 0 and not self._stopped.wait(min(pause, left))

    def _send(
        self, method: str, path: str, body: JSON | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        # Written the same way every time: an idempotency key is bound to the raw bytes.
        raw = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        sent = {"Accept": "application/json", "User-Agent": "conveyor", **(headers or {})}
        if raw is not None:
            sent["Content-Type"] = "application/json"
        try:
            answer = self._pool.request(method, self.url + path, body=raw, headers=sent, redirect=False)
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError) as error:
            raise Unreachable(self.url, error) from error
        except urllib3.exceptions.HTTPError as error:
            if method == "GET":
                raise Unreachable(self.url, error) from error
            raise BrokenOff(self.url, error, keyed="Idempotency-Key" in sent) from error
        read = _json_of(answer.data)
        if answer.data and read is None and answer.status < 300:
            detail = f"What answers at {self.url} is not Conveyor's gateway: it does not speak JSON."
            raise Refused(answer.status, {"code": "not_json", "detail": detail})
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, read if isinstance(read, dict) else {}, _retry_after(answer.headers))
        return Answer(answer.status, read, answer.headers)


def key_of(*parts: str) -> str:
    """An idempotency key made of these parts; different parts never share a key.

    The gateway takes at most 255 printable characters: others are percent-encoded, and what is longer than that is
    shortened to its SHA-256.
    """
    key = "/".join(quote(part, safe="", errors="surrogatepass") for part in parts)
    return key if len(key) <= LONGEST_KEY else f"sha256/{hashlib.sha256(key.encode()).hexdigest()}"


def _header(text: str) -> str:
    """Text as a header carries it: in latin-1 where that has all of it, else in UTF-8, disguised as latin-1."""
    normal = nfc(text)
    try:
        normal.encode("latin-1")
    except UnicodeEncodeError:
        return normal.encode(errors="surrogatepass").decode("latin-1")
    return normal


def _json_of(raw: bytes) -> Any:
    """The JSON in an answer, None where there is none: whatever stands before the gateway may answer in HTML."""
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait according to the answer, at most 30; 0 where it does not say, or says it as a date."""
    said = headers.get("Retry-After", "")
    return min(float(said), 30.0) if said.isascii() and said.isdigit() else 0.0
