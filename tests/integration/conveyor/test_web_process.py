"""The asynchronous front before a Flask app of the test's own, over real sockets: what clients do to it, and get."""

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask, Response, request

import chassis.front
import chassis.receiving
import chassis.threads
from chassis.connections import LARGEST_HEAD, MOST_HEADERS, Connections
from chassis.front import STREAM, Front
from chassis.receiving import Bodies
from chassis.threads import Threads
from conveyor.web_process import Server, listen

MANY = "A: b\n" * MOST_HEADERS

Raw = Callable[..., socket.socket]
Stream = Callable[[], http.client.HTTPResponse]


class Served:
    """A server in a thread, with small limits, and an app that says what it got."""

    def __init__(self, **limits: Any) -> None:
        of = {"threads": 4, "waiting": 50, "connections": 100, "streams": 2} | limits
        connections = Connections(of["connections"], of.get("idle_time", 30), of.get("taking_time", 30))
        bodies = Bodies(connections, most=of.get("most_bytes", 1_000_000), time_allowed=of.get("body_time", 30))
        self.calls: list[str] = []
        self.hold = threading.Event()
        self.held = threading.Semaphore(0)
        self.closed_streams = threading.Semaphore(0)
        self.threads = Threads(of["threads"], of["waiting"])
        self.front = Front(self.app(), self.threads, bodies, connections, of["streams"])
        self.server = Server(self.front, connections, None)
        self.listening = listen("127.0.0.1", 0, of.get("taking_time", 30), shared=False)
        self.port = self.listening.getsockname()[1]
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self._thread.start()
        assert self.server.serving.wait(10)

    def stop(self) -> None:
        self.hold.set()
        self.server.handle_exit(15, None)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def app(self) -> Flask:
        app = Flask("front", static_folder=None)

        @app.route("/echo", methods=["GET", "POST"])
        def echo() -> Response:
            self.calls.append(request.full_path)
            headers = {name.lower(): value for name, value in request.headers.items()}
            got = {"bytes": len(request.get_data()), "length": request.content_length, "headers": headers}
            return Response(json.dumps(got), mimetype="application/json")

        @app.get("/hold")
        def hold() -> str:
            self.calls.append("hold")
            self.held.release()
            assert self.hold.wait(20)
            return "held"

        @app.get("/large")
        def large() -> Response:
            return Response(b"x" * 20_000_000)

        @app.get("/broken")
        def broken() -> str:
            raise SystemExit  # not even Flask makes an answer of it

        @app.get("/stream")
        def stream() -> Response:
            request.environ[STREAM] = self.beats
            return Response(status=200, mimetype="text/event-stream")

        @app.get("/health/live")
        def live() -> str:
            return "ok"

        return app

    async def beats(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: beat\n\n"
                await asyncio.sleep(0.02)
        finally:
            self.closed_streams.release()


@pytest.fixture
def limits() -> dict[str, Any]:
    return {}


@pytest.fixture
def served(limits: dict[str, Any]) -> Iterator[Served]:
    served = Served(**limits)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture
def raw(served: Served) -> Iterator[Raw]:
    """Opens a connection and sends something on it."""
    with ExitStack() as stack:

        def connect(sends: str = "", read_buffer: int | None = None) -> socket.socket:
            connection = stack.enter_context(socket.socket())
            if read_buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
            connection.settimeout(10)
            connection.connect(("127.0.0.1", served.port))
            connection.sendall(sends.replace("\n", "\r\n").encode("latin-1"))
            return connection

        yield connect


@pytest.fixture
def stream(raw: Raw) -> Iterator[Stream]:
    """Opens an event stream; its headers are there."""
    with ExitStack() as stack:

        def open_stream() -> http.client.HTTPResponse:
            reply = stack.enter_context(http.client.HTTPResponse(raw("GET /stream HTTP/1.1\nHost: x\n\n")))
            reply.begin()
            assert (reply.status, reply.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")
            return reply

        yield open_stream


def answer(connection: socket.socket, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what comes next."""
    with http.client.HTTPResponse(connection, method=method) as reply:
        reply.begin()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def problem(connection: socket.socket) -> tuple[int, str]:
    """Status and code of a problem document, after which the connection is closed."""
    status, headers, body = answer(connection)
    document = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == document["correlation_id"]
    assert headers.get("retry-after") == ("1" if status == 503 else None)
    assert document["status"] == status
    assert is_closed(connection)
    return status, document["code"]


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed; waits for it."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def until(condition: Callable[[], object]) -> None:
    """Wait until it holds, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def limited(**limits: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("limits", [limits], ids=[""])


def test_a_body_is_the_same_however_it_comes(raw: Raw) -> None:
    pieces = raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 10\n\n01234")
    pieces.sendall(b"56789")
    chunks = raw("POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\n01234\n")
    chunks.sendall(b"5\r\n56789\r\n0\r\n\r\n")
    for connection in (pieces, chunks):
        status, _headers, body = answer(connection)
        assert (status, json.loads(body)["bytes"], json.loads(body)["length"]) == (200, 10, 10)
        assert "transfer-encoding" not in json.loads(body)["headers"]


@limited(body_time=0.5)
def test_a_byte_now_and_then_does_not_keep_a_body_open(raw: Raw) -> None:
    for length in ("Content-Length: 1000\n\n", "Transfer-Encoding: chunked\n\n"):
        connection = raw(f"POST /echo HTTP/1.1\nHost: x\nX-Request-ID: mine\n{length}")
        begun = time.monotonic()
        connection.settimeout(0.1)
        while time.monotonic() - begun < 5:
            try:
                connection.sendall(b"1\r\nx\r\n" if "chunked" in length else b"x")
                connection.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        assert 0.4 < time.monotonic() - begun < 2
        connection.settimeout(10)
        status, _headers, body = answer(connection)
        said = json.loads(body)
        assert (status, said["code"], said["correlation_id"]) == (408, "request_timeout", "mine")
        assert is_closed(connection)


@limited(body_time=0.5)
def test_a_long_body_has_more_time(raw: Raw) -> None:
    connection = raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 100000\n\n")
    connection.settimeout(0.8)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.sendall(b"x" * 100_000)
    connection.settimeout(10)
    assert answer(connection)[0] == 200


@limited(threads=1)
def test_bodies_that_do_not_come_take_no_thread(raw: Raw, served: Served) -> None:
    for _each in range(50):
        raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 1000\n\n{")
    assert answer(raw("GET /echo HTTP/1.1\nHost: x\n\n"))[0] == 200
    assert served.calls == ["/echo?"]


@limited(most_bytes=100)
def test_a_body_over_the_limit_is_refused_before_it_is_read(
    raw: Raw, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis.front, "LINGER", 0.1)
    assert problem(raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 101\n\n")) == (413, "too_large")
    chunked = raw(f"POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n65\n{'x' * 101}\n")
    assert problem(chunked) == (413, "too_large")
    expecting = raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 101\nExpect: 100-continue\n\n")
    assert problem(expecting) == (413, "too_large")
    assert served.calls == []


def test_who_asks_first_is_told_to_go_on(raw: Raw) -> None:
    connection = raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 2\nExpect: 100-continue\n\n")
    assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"{}")
    assert answer(connection)[0] == 200


def test_head_has_the_headers_of_get_and_no_body(raw: Raw) -> None:
    connection = raw("HEAD /echo HTTP/1.1\nHost: x\n\nGET /echo HTTP/1.1\nHost: x\n\n")
    status, headers, body = answer(connection, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0
    assert answer(connection)[0] == 200


def test_requests_on_one_connection_are_answered_in_their_order(raw: Raw, served: Served) -> None:
    connection = raw("".join(f"GET /echo?{each} HTTP/1.1\nHost: x\n\n" for each in range(5)))
    with connection.makefile("rb") as buffered:
        for _each in range(5):
            assert buffered.readline().startswith(b"HTTP/1.1 200")
            length = 0
            while (line := buffered.readline()) != b"\r\n":
                length = int(line.split()[1]) if line.lower().startswith(b"content-length") else length
            buffered.read(length)
    assert served.calls == [f"/echo?{each}" for each in range(5)]


def test_a_header_with_an_underscore_does_not_pass_for_another(raw: Raw) -> None:
    connection = raw("GET /echo HTTP/1.1\nHost: x\nX-One: 1\nX-One: 2\nX_Two: 3\nCookie: a=1\nCookie: b=2\n\n")
    headers = json.loads(answer(connection)[2])["headers"]
    assert (headers["x-one"], headers["cookie"]) == ("1,2", "a=1; b=2")
    assert "x-two" not in headers


@limited(idle_time=0.3)
def test_what_asks_for_nothing_is_closed(raw: Raw) -> None:
    silent, began, answered = raw(), raw("GET /echo HT"), raw("GET /echo HTTP/1.1\nHost: x\n\n")
    assert answer(answered)[0] == 200
    assert is_closed(silent)
    assert problem(began) == (408, "request_timeout")
    assert is_closed(answered)


@limited(idle_time=0.3)
def test_a_request_under_way_is_not_idle(raw: Raw, served: Served) -> None:
    connection = raw("GET /hold HTTP/1.1\nHost: x\n\n")
    assert is_closed(raw())
    served.hold.set()
    assert answer(connection)[2] == b"held"


@limited(connections=4)
def test_the_oldest_idle_connection_makes_room(raw: Raw) -> None:
    first, *others = [raw() for _each in range(4)]
    assert answer(raw("GET /echo HTTP/1.1\nHost: x\n\n"))[0] == 200
    assert is_closed(first)
    for each in others:
        each.settimeout(0.1)
        assert not is_closed(each)


@limited(connections=4)
def test_a_body_that_still_comes_makes_room_where_nothing_is_idle(raw: Raw, served: Served) -> None:
    held = raw("GET /hold HTTP/1.1\nHost: x\n\n")
    first, *_others = [raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 9\n\n") for _each in range(3)]
    assert served.held.acquire(timeout=10)
    assert answer(raw("GET /health/live HTTP/1.1\nHost: x\n\n"))[0] == 200
    assert problem(first) == (503, "overloaded")
    served.hold.set()
    assert answer(held)[0] == 200


@pytest.mark.parametrize("limits", [{"taking_time": 0.5}], ids=[""])
@pytest.mark.parametrize("kernel_helps", [True, False])
def test_who_does_not_take_his_answer_is_cut_off(raw: Raw, served: Served, kernel_helps: bool) -> None:
    if not kernel_helps:
        served.listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    connection = raw("GET /large HTTP/1.1\nHost: x\n\n", read_buffer=4_096)
    assert len(connection.recv(1_000)) == 1_000
    begun = time.monotonic()
    # Twenty megabytes have 200 s; who takes nothing has half a second.
    until(lambda: not served.server.server_state.connections)
    assert time.monotonic() - begun > 0.4


def test_who_takes_his_answer_slowly_gets_it_whole(raw: Raw) -> None:
    connection = raw("GET /large HTTP/1.1\nHost: x\n\n", read_buffer=65_536)
    assert len(answer(connection)[2]) == 20_000_000


@limited(threads=1, waiting=1)
def test_what_waits_for_a_thread_is_bounded(raw: Raw, served: Served) -> None:
    first = raw("GET /hold HTTP/1.1\nHost: x\n\n")
    assert served.held.acquire(timeout=10)
    second = raw("GET /echo HTTP/1.1\nHost: x\n\n")
    assert problem(raw("GET /echo HTTP/1.1\nHost: x\n\n")) == (503, "overloaded")
    assert answer(raw("GET /health/live HTTP/1.1\nHost: x\n\n"))[0] == 200
    served.hold.set()
    assert answer(first)[0] == answer(second)[0] == 200


@limited(threads=1)
def test_a_request_whose_client_has_gone_is_not_begun(raw: Raw, served: Served) -> None:
    first = raw("GET /hold HTTP/1.1\nHost: x\n\n")
    assert served.held.acquire(timeout=10)
    raw("GET /echo?gone HTTP/1.1\nHost: x\n\n").close()
    third = raw("GET /echo?there HTTP/1.1\nHost: x\n\n")
    assert answer(raw("GET /health/live HTTP/1.1\nHost: x\n\n"))[0] == 200  # by then its end has been seen
    served.hold.set()
    assert answer(first)[0] == answer(third)[0] == 200
    assert served.calls == ["hold", "/echo?there"]


def test_bodies_together_are_bounded_and_the_longest_goes(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis.receiving, "MOST_HELD", 100_000)
    longest = raw(f"POST /echo HTTP/1.1\nHost: x\nContent-Length: 90000\n\n{'x' * 80_000}")
    other = raw(f"POST /echo HTTP/1.1\nHost: x\nContent-Length: 30000\n\n{'x' * 29_000}")
    assert problem(longest) == (503, "overloaded")
    other.sendall(b"x" * 1_000)
    assert answer(other)[0] == 200


@pytest.mark.parametrize(
    ("sends", "code"),
    [
        ("NONSENSE\n\n", (400, "malformed_request")),
        ("POST /echo HTTP/1.1\nHost: x\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", (400, "malformed_request")),
        (f"GET /echo HTTP/1.1\nHost: x\nX-Long: {'x' * LARGEST_HEAD}\n\n", (431, "headers_too_large")),
        (f"GET /echo HTTP/1.1\nHost: x\n{MANY}\n", (431, "headers_too_large")),
        (f"GET /echo HTTP/1.1\nHost: x\nX-Long: {'x' * LARGEST_HEAD}", (431, "headers_too_large")),
        ("GET /broken HTTP/1.1\nHost: x\n\n", (500, "internal_error")),
    ],
    ids=["no HTTP", "two lengths", "long headers", "many headers", "headers without an end", "the app fails"],
)
def test_what_cannot_be_answered_is_a_problem_document(raw: Raw, sends: str, code: tuple[int, str]) -> None:
    assert problem(raw(sends)) == code


@limited(threads=1)
def test_streams_take_no_thread_and_end_with_their_clients(raw: Raw, stream: Stream, served: Served) -> None:
    first, second = stream(), stream()
    assert first.readline() == second.readline() == b"data: beat\n"
    assert answer(raw("GET /echo HTTP/1.1\nHost: x\n\n"))[0] == 200
    assert problem(raw("GET /stream HTTP/1.1\nHost: x\n\n")) == (503, "overloaded")
    with socket.socket(fileno=os.dup(first.fileno())) as its_socket:
        its_socket.shutdown(socket.SHUT_RDWR)
    assert served.closed_streams.acquire(timeout=10)
    assert stream().readline() == b"data: beat\n"


@limited(idle_time=0.2)
def test_a_stream_is_not_idle_and_ends_when_the_process_stops(raw: Raw, stream: Stream, served: Served) -> None:
    reply = stream()
    assert is_closed(raw())
    assert reply.readline() == b"data: beat\n"
    served.server.handle_exit(15, None)
    assert reply.read().endswith(b"\n\n")
    assert served.closed_streams.acquire(timeout=10)


@limited(connections=3)
def test_who_has_just_been_answered_keeps_its_connection_while_bodies_do_not_come(raw: Raw) -> None:
    slow = [raw("POST /echo HTTP/1.1\nHost: x\nContent-Length: 9\n\n") for _each in range(2)]
    other = raw("GET /echo HTTP/1.1\nHost: x\n\n")
    assert answer(other)[0] == 200
    raw()
    assert problem(slow[0]) == (503, "overloaded")
    other.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(other)[0] == 200


@limited(taking_time=0.5, streams=1)
def test_a_stream_that_is_not_taken_is_cut_off(raw: Raw, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def flood() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            served.closed_streams.release()

    monkeypatch.setattr(served, "beats", flood)
    raw("GET /stream HTTP/1.1\nHost: x\n\n", read_buffer=4_096)
    assert served.closed_streams.acquire(timeout=10)


@limited(threads=1)
def test_threads_that_never_answer_make_the_process_unwell(
    raw: Raw, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw("GET /hold HTTP/1.1\nHost: x\n\n")
    assert served.held.acquire(timeout=10)
    assert answer(raw("GET /health/live HTTP/1.1\nHost: x\n\n"))[0] == 200
    raw("GET /echo HTTP/1.1\nHost: x\n\n")
    monkeypatch.setattr(chassis.threads, "STUCK_AFTER", 0.0)
    assert problem(raw("GET /health/live HTTP/1.1\nHost: x\n\n")) == (503, "stuck")


def test_the_process_can_ask_itself(served: Served) -> None:
    with served.server.connect(5) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(connection)[0] == 200
