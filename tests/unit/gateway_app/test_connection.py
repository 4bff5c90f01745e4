"""The gateway's side of a connection to a service, against bytes as they may come."""

import socket
import threading
from collections.abc import Iterator

import pytest

from chassis.errors import SettingsError
from gateway_app.connection import Address, Broken, ClosedUnanswered, Connection, NotConnected, TimedOut

ANSWER = b'HTTP/1.1 201 Created\r\nETag: "1"\r\ncontent-length: 4\r\n\r\nbody'


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the service's end of it."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    yield connection, theirs
    connection.close()
    theirs.close()


def answered(pair: tuple[Connection, socket.socket], *pieces: bytes, then_closed: bool = False) -> Connection:
    connection, service = pair

    def answer() -> None:
        service.recv(100)
        for piece in pieces:
            service.sendall(piece)
            threading.Event().wait(0.02)  # the pieces arrive one by one
        if then_closed:
            service.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=answer, daemon=True).start()
    return connection


def test_an_answer_is_read_whole_however_it_is_cut(pair: tuple[Connection, socket.socket]) -> None:
    connection = answered(pair, ANSWER[:15], ANSWER[15:50], ANSWER[50:-1], ANSWER[-1:])
    status, headers, body = connection.exchange(b"request", 1)
    assert (status, headers["etag"], body, connection.reusable) == (201, '"1"', b"body", True)


def test_a_connection_that_the_service_will_close_is_not_used_again(pair: tuple[Connection, socket.socket]) -> None:
    connection = answered(pair, ANSWER.replace(b"ETag", b"Connection: close\r\nETag"))
    assert connection.exchange(b"request", 1).status == 201
    assert not connection.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmore than one",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"+OK another protocol\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
)
def test_what_is_no_answer_of_our_services_is_broken(pair: tuple[Connection, socket.socket], answer: bytes) -> None:
    connection = answered(pair, answer)
    with pytest.raises(Broken):
        connection.exchange(b"request", 1)
    assert not connection.reusable


def test_the_end_before_an_answer_is_told_from_the_end_within_one(pair: tuple[Connection, socket.socket]) -> None:
    with pytest.raises(ClosedUnanswered):
        answered(pair, then_closed=True).exchange(b"request", 1)


@pytest.mark.parametrize("upto", [10, 55, len(ANSWER) - 1])
def test_an_answer_that_ends_early_is_broken(pair: tuple[Connection, socket.socket], upto: int) -> None:
    with pytest.raises(Broken):
        answered(pair, ANSWER[:upto], then_closed=True).exchange(b"request", 1)


@pytest.mark.parametrize("upto", [0, 10, len(ANSWER) - 1])
def test_no_silence_is_longer_than_the_time_out(pair: tuple[Connection, socket.socket], upto: int) -> None:
    with pytest.raises(TimedOut):
        answered(pair, ANSWER[:upto]).exchange(b"request", 0.1)


def test_a_request_that_nobody_reads_times_out(pair: tuple[Connection, socket.socket]) -> None:
    with pytest.raises(TimedOut):
        pair[0].exchange(b"x" * 10_000_000, 0.1)


def test_a_connection_that_was_closed_while_idle_is_known(pair: tuple[Connection, socket.socket]) -> None:
    connection, service = pair
    assert not connection.was_closed()
    service.close()
    assert connection.was_closed()


def test_a_target_cannot_carry_a_second_request() -> None:
    request = Address("http://sales:3000/inner/").request("GET", "/orders?a=\r\n ä%20+b", {}, None)
    assert request == b"GET /inner/orders?a=%0D%0A%20%E4%20+b HTTP/1.1\r\nHost: sales:3000\r\n\r\n"


@pytest.mark.parametrize("value", ["a\nX: 1", "a\rX: 1", "a\r\nX: 1"])
def test_a_header_cannot_carry_another(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Address("http://sales:3000").request("GET", "/", {"Accept": value}, None)


def test_a_body_is_as_long_as_its_header_says() -> None:
    address = Address("http://sales")
    assert address.request("PUT", "/", {}, b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")
    assert address.request("POST", "/", {}, None).endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize("url", ["ftp://sales", "sales:3000", "http://", "http://sales:99999"])
def test_an_address_is_an_http_url(url: str) -> None:
    with pytest.raises(SettingsError, match="URL"):
        Address(url)


def test_where_nobody_listens_there_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotConnected):
        Address(f"http://127.0.0.1:{port}").connect(1)
