"""Request bodies, read before a thread is given: each within its time, and all together within a bound of memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from chassis.connections import SLOWEST, Connection, Connections, Sender
from chassis.errors import RequestTimeout
from chassis.problems import Refused

#: How many bytes of bodies a process holds at once; beyond it the longest one that still comes is refused.
MOST_HELD = 67_108_864

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Bodies:
    """Reads bodies. ``most`` is for one body (bytes), ``time_allowed`` (seconds) goes beside 1 s for each 100 kB."""

    def __init__(self, connections: Connections, most: int, time_allowed: float) -> None:
        self._connections, self._most, self._time_allowed = connections, most, time_allowed
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, connection: Connection) -> bytes | None:
        """The whole body, to be given back by ``release``; None when its client has gone. Raises Refused."""
        length = declared_length(scope)
        if length is not None and length > self._most:
            raise self._too_large()
        if length == 0:
            return b""
        if not connection.complete:
            return await self._read_what_comes(length, receive, connection)
        message = await receive()
        if message["type"] != "http.request":
            return None
        body: bytes = message["body"]
        if len(body) > self._most:
            raise self._too_large()
        self._held += len(body)
        return body

    def release(self, body: bytes) -> None:
        """The request of this body has been answered."""
        self._held -= len(body)

    async def _read_what_comes(self, length: int | None, receive: Receive, connection: Connection) -> bytes | None:
        begun = asyncio.get_running_loop().time()
        pieces = []
        late = Refused.by(RequestTimeout, "The body did not come in time.")
        sender = Sender(asyncio.timeout_at(begun + self._time_for(length or 0)), late)
        self._connections.sending[connection] = sender
        try:
            async with sender.timeout:
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    pieces.append(message["body"])
                    self._take(sender, len(pieces[-1]))
                    if not message["more_body"]:
                        body = b"".join(pieces)
                        self._held += len(body)
                        return body
                    if length is None:
                        sender.timeout.reschedule(begun + self._time_for(sender.size))
        except TimeoutError:
            raise sender.refusal from None
        finally:
            self._held -= sender.size
            self._connections.sending.pop(connection, None)

    def _take(self, sender: Sender, size: int) -> None:
        sender.size += size
        self._held += size
        if sender.size > self._most:
            raise self._too_large()
        if self._held > MOST_HELD:
            longest = max(self._connections.sending.values(), key=lambda each: each.size)
            longest.give_up()

    def _time_for(self, size: int) -> float:
        return self._time_allowed + size / SLOWEST

    def _too_large(self) -> Refused:
        detail = f"The body may have at most {self._most} bytes."
        return Refused(413, "too_large", "Request Entity Too Large", detail)


def declared_length(scope: Scope) -> int | None:
    """How many bytes the body has: None for one in chunks, which does not say."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            return None
    return length
