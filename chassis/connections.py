"""The connections of a web process: who may keep one open without asking for anything, and for how long.

A connection waits for its client (idle), sends a body, or has a request under way. What is idle is closed when its time
is up. Where there are too many, the one goes that has kept the process waiting for longest: most often the oldest idle
one. A request under way, an event stream too, is never closed for others.
"""

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chassis.errors import AppError, HeadersTooLarge, Malformed, Overloaded, RequestTimeout
from chassis.problems import Refused, correlation_id_of, refusal

#: The most bytes of a request's line and headers together.
LARGEST_HEAD = 65_536
#: The most headers of a request.
MOST_HEADERS = 100
#: After how many connections others come, while all are looked at.
SWEPT_AT_ONCE = 100
HEAD_TOO_LARGE = "The headers are too long, or too many."
#: How many bytes a second a client has to send or to take, beside the seconds that it has anyway.
SLOWEST = 100_000


@dataclass(eq=False)
class Sender:
    """A client whose body still comes: when its time is up, why it is refused, and how many bytes there are."""

    timeout: asyncio.Timeout
    refusal: Refused
    since: float = field(default_factory=time.monotonic)
    size: int = 0

    def give_up(self) -> None:
        """Refuse it now, for others' sake."""
        detail = "This process takes in as much as it can; nothing was changed. Try again."
        self.refusal = Refused.by(Overloaded, detail)
        if not self.timeout.expired():
            self.timeout.reschedule(0)


class Connections:
    """All of one process. Durations are seconds."""

    def __init__(self, most: int, idle_time: float, taking_time: float) -> None:
        self._most, self._idle_time, self._taking_time = most, idle_time, taking_time
        self._open = 0
        self._idle: dict[Connection, float] = {}
        #: Whose bodies still come; the one that began first is the first.
        self.sending: dict[Connection, Sender] = {}

    def opened(self, connection: "Connection") -> None:
        self._open += 1
        self._idle[connection] = time.monotonic()
        if self._open > self._most:
            self._make_room()

    def lost(self, connection: "Connection") -> None:
        self._open -= 1
        self._idle.pop(connection, None)

    def under_way(self, connection: "Connection") -> None:
        """Its request has begun: its headers are there."""
        self._idle.pop(connection, None)

    def idle(self, connection: "Connection") -> None:
        """It has been answered."""
        connection.unsent = 0
        self._idle[connection] = time.monotonic()

    async def sweep(self) -> None:
        """Close whose time is up; to be called once a second. Between some and some others come."""
        now = time.monotonic()
        for number, (connection, since) in enumerate(list(self._idle.items())):
            if number % SWEPT_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._idle.get(connection) != since:  # meanwhile something has come
                continue
            unsent = connection.transport.get_write_buffer_size()
            if unsent != connection.unsent:  # it takes its answer
                connection.unsent, connection.took_at = unsent, now
            if not unsent and now - since >= self._idle_time:
                connection.give_up()
            elif unsent and (
                now - connection.took_at >= self._taking_time or now - since >= self.time_to_take(connection.answered)
            ):
                connection.cut_off()

    def time_to_take(self, size: int) -> float:
        """Seconds that a client may take for an answer of so many bytes."""
        return self._taking_time + size / SLOWEST

    def _make_room(self) -> None:
        """Close the one that has kept this process waiting for longest, for a request or for the rest of a body."""
        idle, since = next(iter(self._idle.items()))
        sender, sending = next(iter(self.sending.items()), (None, None))
        if sender is not None and sending is not None and sending.since < since:
            del self.sending[sender]
            sending.give_up()
        else:
            del self._idle[idle]
            idle.transport.abort()


class Connection(HttpToolsProtocol):
    """One connection, as its server sees it. Uvicorn speaks HTTP; here is what it leaves open."""

    def __init__(self, connections: Connections, **of_server: Any) -> None:
        super().__init__(**of_server)
        self._all = connections
        self._head = 0  # bytes of a head that is not complete
        self._in_head = False
        self.head_too_large = False
        #: Whether the body of the newest request is there.
        self.complete = True
        #: How many bytes the last answer had, how many of them wait for the client, and when it took some.
        self.answered = self.unsent = 0
        self.took_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > LARGEST_HEAD:
            self._refuse(HeadersTooLarge, HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self.complete = True, False
        cast("dict[str, Any]", self.scope)["state"] = {"connection": self}

    def on_headers_complete(self) -> None:
        self.head_too_large = len(self.headers) > MOST_HEADERS or (
            self._head > LARGEST_HEAD and len(self.url) + sum(map(len, chain(*self.headers))) > LARGEST_HEAD
        )
        self._in_head, self._head = False, 0
        self._all.under_way(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.complete, self._head = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete and not self.pipeline:
            self._all.idle(self)

    def send_400_response(self, msg: str) -> None:
        self._refuse(Malformed, "This is not HTTP/1.1.")

    def gone(self) -> bool:
        """Whether nobody is there any more."""
        return self.transport.is_closing()

    def give_up(self) -> None:
        """Wait no longer for a request: close, and say so where it has begun."""
        if self._in_head:
            self._refuse(RequestTimeout, "The request did not come in time.")
        else:
            self.transport.close()

    def cut_off(self) -> None:
        """End it at once, what its client has not taken included: the kernel would go on offering it."""
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, kind: type[AppError], detail: str) -> None:
        """Answer what is no request yet, and close. Where another request is still under way: close."""
        if self.cycle is None or self.cycle.response_complete:
            headers, body = refusal(kind.status, kind.code, kind.title, detail, "", correlation_id_of(""))
            lines = [f"HTTP/1.1 {kind.status} {kind.title}".encode(), *(b"%b: %b" % pair for pair in headers)]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
