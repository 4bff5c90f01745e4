"""One connection to a service, in as much of HTTP/1.1 as our services speak.

urllib3 and the reader of e-mails behind it took more CPU than all the rest of the gateway: half of what an order cost
there. Here a request is one write, and an answer as few reads as it comes in. What our services do not send (an answer
in chunks, one of unknown length, an interim one) counts as broken.
"""

import select
import socket
import ssl
import weakref
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from chassis.errors import SettingsError
from chassis.sockets import limit

#: The most bytes before an answer's body, and how many are read at once.
LARGEST_HEAD = 65_536
_READ = 65_536

#: What goes into a request line as it is; anything else is written %XX.
_SAFE = "%/:?@!$&'()*+,;="


class ExchangeFailed(Exception):
    """A request got no answer."""


class NotConnected(ExchangeFailed):
    """There is no connection: the request was not sent."""


class TimedOut(ExchangeFailed):
    """The service went silent for longer than it may."""


class ClosedUnanswered(ExchangeFailed):
    """The connection ended before the first byte of an answer."""


class Broken(ExchangeFailed):
    """The connection ended within the answer, or what came is no answer."""


class Reply(NamedTuple):
    """What a service answered; the headers' names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Address:
    """Where a service is: what a URL says of host, port and TLS, and the path that goes before every target."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError for a URL that is none of http or https."""
        parts = urlsplit(url)
        try:
            usual = {"http": 80, "https": 443}[parts.scheme]
            self.server = (parts.hostname or "", parts.port or usual)
        except (KeyError, ValueError) as error:
            raise SettingsError(f"not an http URL: {url}") from error
        if not parts.hostname:
            raise SettingsError(f"no host in the URL {url}")
        self.prefix = parts.path.rstrip("/")
        self.name = parts.netloc.rpartition("@")[2]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def connect(self, timeout: float) -> "Connection":
        """A new connection. Raises NotConnected when there is none within so many seconds."""
        try:
            connection = socket.create_connection(self.server, timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self.server[0])
        except OSError as error:
            raise NotConnected(str(error)) from error
        return Connection(connection)

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """A request as it goes over a connection. Raises ValueError for a header that would become several."""
        lines = [f"{method} {quote(self.prefix + target, _SAFE, 'latin-1')} HTTP/1.1", f"Host: {self.name}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method not in ("GET", "HEAD"):
            lines.append(f"Content-Length: {len(body or b'')}")
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            raise ValueError("a header holds a line break")
        return f"{head}\r\n\r\n".encode("latin-1") + (body or b"")


class Connection:
    """For one request at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._limit = 0.0
        #: When (``time.monotonic``) it was last used; its pool says so.
        self.used_at = 0.0
        self._idle = select.poll()
        self._idle.register(connected, select.POLLIN)
        weakref.finalize(self, connected.close)  # with the gateway that it belongs to
        #: Whether another request may follow the last one.
        self.reusable = False

    def exchange(self, request: bytes, timeout: float) -> Reply:
        """The answer to a request. ``timeout`` (seconds) is for each silence of the service.

        Raises TimedOut, ClosedUnanswered, Broken; the connection is of no use then.
        """
        self.reusable = False
        if timeout != self._limit:
            limit(self._socket, timeout)
            self._limit = timeout
        try:
            self._socket.sendall(request)
            received = self._socket.recv(_READ)
        except (BlockingIOError, TimeoutError) as error:
            raise TimedOut("no answer in time") from error
        except OSError as error:
            raise ClosedUnanswered(str(error)) from error
        if not received:
            raise ClosedUnanswered("closed without an answer")
        return self._read_answer(received)

    def was_closed(self) -> bool:
        """Whether the service has closed this connection, or said what nobody asked for, while it was idle."""
        return bool(self._idle.poll(0))

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def _read_answer(self, received: bytes) -> Reply:
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > LARGEST_HEAD:
                raise Broken("the head of the answer has no end")
            received += self._receive()
        status, headers, keeps = _read_head(received[:end])
        pieces, missing = [received[end + 4 :]], _length(status, headers) - (len(received) - end - 4)
        while missing > 0:
            pieces.append(self._receive())
            missing -= len(pieces[-1])
        if missing < 0:
            raise Broken("the answer is longer than it says")
        self.reusable = keeps
        return Reply(status, headers, b"".join(pieces))

    def _receive(self) -> bytes:
        try:
            received = self._socket.recv(_READ)
        except (BlockingIOError, TimeoutError) as error:
            raise TimedOut("the answer stopped coming") from error
        except OSError as error:
            raise Broken(str(error)) from error
        if not received:
            raise Broken("closed within the answer")
        return received


def _read_head(head: bytes) -> tuple[int, dict[str, str], bool]:
    """Status, headers, and whether the connection may be used again."""
    first, *rest = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not status[:3].isdigit() or status < "200":
        raise Broken(f"no answer in HTTP/1.1: {first[:100]!r}")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise Broken(f"no header: {line[:100]!r}")
        headers[name.lower()] = value.strip()
    return int(status[:3]), headers, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"


def _length(status: int, headers: dict[str, str]) -> int:
    """How many bytes the body has."""
    length = headers.get("content-length", "0" if status in (204, 304) else "")
    if not (length.isascii() and length.isdigit()):
        raise Broken("the answer does not say how long it is")
    return int(length)
