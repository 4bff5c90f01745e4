"""The asynchronous front of every web process: a thread is given to a request only once its body is there.

It reads bodies, each within its time, refuses what is too large or too slow, lets so many requests wait for a thread,
and hands the app's answer over in one piece. An app can also answer with a stream, which takes no thread: it leaves an
asynchronous generator function in the environment under STREAM, and answers with headers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog

from chassis.connections import HEAD_TOO_LARGE, Connection, Connections
from chassis.environment import environment_of
from chassis.errors import HeadersTooLarge, Overloaded
from chassis.problems import CORRELATION_HEADER, Refused, correlation_id_of, refusal
from chassis.receiving import Bodies, Receive, Scope
from chassis.threads import Full, Threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

#: Where in the environment an app leaves its stream: a function without arguments that returns an asynchronous
#: generator of bytes. The event loop runs it, so it must not block.
STREAM = "chassis.stream"
#: This path has a thread of its own: a process that is busy is alive.
LIVE = "/health/live"
#: How long (seconds) what a client still sends is read after it was refused: one that writes before it reads would
#: otherwise find its connection reset, and no answer.
LINGER = 2.0

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[str, list[tuple[str, str]], bytes]


class Front:
    """An ASGI app around a WSGI app."""

    def __init__(
        self, app: "WSGIApplication", threads: Threads, bodies: Bodies, connections: Connections, most_streams: int
    ) -> None:
        self._app, self._threads, self._bodies, self._connections = app, threads, bodies, connections
        self._live = Threads(1)
        self._streams, self._most_streams = 0, most_streams
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the streams: the process is asked to stop."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection: Connection = scope["state"]["connection"]
        try:
            if connection.head_too_large:
                raise Refused.by(HeadersTooLarge, HEAD_TOO_LARGE)
            body = await self._bodies.read(scope, receive, connection)
            if body is None:
                return  # the client has gone
            try:
                environment = environment_of(scope, body)
                answer = await self._made(environment, connection)
            finally:
                self._bodies.release(body)
            if answer is not None and STREAM in environment and scope["method"] != "HEAD":
                await self._send_stream(answer, environment[STREAM], receive, send, connection)
            elif answer is not None:
                await self._send(answer, send, connection)
        except Refused as refused:
            await self._refuse(refused, scope, receive, send)

    async def _made(self, environment: "WSGIEnvironment", connection: Connection) -> Answer | None:
        """The app's answer, made in a thread; None when its client went before its turn. Raises Refused."""
        threads = self._threads
        if environment["PATH_INFO"] == LIVE:
            if threads.stuck():
                raise Refused(503, "stuck", "Service Unavailable", "No thread of this process answers any more.")
            threads = self._live
        try:
            return await threads.run(self._answer, environment, connection)
        except Full:
            detail = "Too many requests wait here; nothing was changed. Try again."
            raise Refused.by(Overloaded, detail) from None
        except Exception as error:
            log.error("unforeseen", path=environment["PATH_INFO"], exc_info=error)
            detail = "This is our mistake, and it is on record."
            raise Refused(500, "internal_error", "Something went wrong", detail) from None

    def _answer(self, environment: "WSGIEnvironment", connection: Connection) -> Answer | None:
        if connection.gone():
            return None
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
            started[:] = [status, headers]
            return lambda _bytes: None  # nobody here calls write()

        pieces = self._app(environment, start_response)
        try:
            body = b"".join(pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        return started[0], started[1], body

    async def _send(self, answer: Answer, send: Send, connection: Connection) -> None:
        status, headers, body = answer
        if connection.flow.write_paused:  # it has not taken the answer before this one
            await self._within(self._connections.time_to_take(connection.answered), connection.flow.drain(), connection)
        connection.answered = len(body)
        await send(_start(status, headers))
        await send({"type": "http.response.body", "body": body})

    async def _send_stream(
        self,
        answer: Answer,
        stream: Callable[[], AsyncIterator[bytes]],
        receive: Receive,
        send: Send,
        connection: Connection,
    ) -> None:
        """Send a stream until it ends, its client goes or the process is asked to stop."""
        if self._streams >= self._most_streams:
            detail = f"This process has {self._streams} open streams already. Try again later."
            raise Refused.by(Overloaded, detail)
        status, headers, _body = answer
        self._streams += 1
        ends = [
            asyncio.ensure_future(each)
            for each in (self._pump(stream, send, connection), _gone(receive), self._stopping.wait())
        ]
        try:
            await send(_start(status, [each for each in headers if each[0].lower() != "content-length"]))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams -= 1
            for each in ends:
                each.cancel()
        await asyncio.wait(ends)
        for each in ends:
            if not each.cancelled() and each.exception() is not None:
                log.error("stream_failed", exc_info=each.exception())
        if not connection.gone():
            await send({"type": "http.response.body", "body": b""})

    async def _pump(self, stream: Any, send: Send, connection: Connection) -> None:
        async with aclosing(stream()) as pieces:
            async for piece in pieces:
                if connection.gone():
                    return
                sent = send({"type": "http.response.body", "body": piece, "more_body": True})
                await self._within(self._connections.time_to_take(0), sent, connection)

    async def _within(self, seconds: float, sending: Awaitable[None], connection: Connection) -> None:
        """Let a client take what is sent within this time; its connection ends otherwise."""
        try:
            async with asyncio.timeout(seconds):
                await sending
        except TimeoutError:
            connection.cut_off()

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(CORRELATION_HEADER.lower().encode(), b"").decode("latin-1")
        headers, body = refusal(
            refused.status, refused.code, refused.title, refused.detail, scope["path"], correlation_id_of(given)
        )
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if refused.status == 413:
            try:
                async with asyncio.timeout(LINGER):
                    while (await receive()).get("more_body"):
                        pass
            except TimeoutError:
                pass  # it has had its answer
        await send({"type": "http.response.body", "body": b""})


def _start(status: str, headers: list[tuple[str, str]]) -> dict[str, Any]:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": int(status[:3]), "headers": encoded}


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
