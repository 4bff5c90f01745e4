"""The clients of the benchmark, against a small server in this process that misbehaves as it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from conveyor.bench import driver
from conveyor.bench.answers import Answers, Load, answer_in
from conveyor.bench.driver import Clients, NoAnswer
from conveyor.bench.load import LoadFailed, request, send


class Server(ThreadingHTTPServer):
    """Answers 201 and keeps what it was asked; ``faults`` are answered first, each once: a status, or "hang up"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.faults: list[int | str] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: Any) -> None:
        """Nothing to print."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        fault = self.server.faults.pop(0) if self.server.faults else 201
        if fault == "hang up":
            self.close_connection = True
            return
        answer = b'{"id": 1}' * 20_000
        self.send_response(int(fault))
        self.send_header("Content-Length", str(len(answer)))
        if fault == 503:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = _answer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def orders(server: Server, count: int) -> list[bytes]:
    return [request("POST", server.url, "/orders", {"number": number}) for number in range(count)]


def drive(server: Server, requests: list[bytes], clients: int) -> Answers:
    return Clients(Load("127.0.0.1", server.server_address[1], requests, clients)).run()


def test_every_request_is_sent_once_under_a_key_of_its_own_on_connections_that_stay(server: Server) -> None:
    answers = send(server.url, orders(server, 50), clients=4)
    assert (answers.accepted, answers.statuses, answers.errors) == (50, {201: 50}, [])
    assert sorted(json.loads(body)["number"] for _, _, _, body in server.asked) == list(range(50))
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.asked}) == 50
    assert server.connections == 4
    assert len(answers.took) == len(answers.sent) == 50
    assert 0 < max(answers.sent) < answers.ended - answers.began
    assert answers.cpu > 0
    assert answers.per_second == pytest.approx(50 / (answers.ended - answers.began))


def test_an_answer_that_says_not_now_is_asked_for_again_and_one_that_refuses_is_kept(server: Server) -> None:
    server.faults = [503, 429, 422]
    answers = drive(server, orders(server, 3), clients=1)
    assert (answers.turned_away, answers.statuses) == (2, {422: 1, 201: 2})
    assert answers.errors[0].startswith('422 {"id": 1}')
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.asked]
    assert (len(keys), len(set(keys))) == (5, 3)


def test_what_was_sent_on_a_connection_that_the_server_closed_is_sent_again_under_its_key(server: Server) -> None:
    server.faults = [201, "hang up"]
    answers = drive(server, orders(server, 3), clients=1)
    assert answers.statuses == {201: 3}
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.asked]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_a_server_that_hangs_up_on_every_request_is_an_error_and_no_endless_loop(server: Server) -> None:
    server.faults = ["hang up"] * 3
    with pytest.raises(ConnectionResetError, match="hangs up on every request"):
        drive(server, orders(server, 3), clients=1)


def test_clients_give_up_when_nobody_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PATIENCE", 0.05)
    monkeypatch.setattr(driver, "TELL_EVERY", 0.02)
    silent = threading.Event()
    monkeypatch.setattr(_Handler, "do_POST", lambda _handler: silent.wait(5))
    with pytest.raises(NoAnswer, match="after 0 of them"):
        drive(server, orders(server, 1), clients=1)
    silent.set()


def test_where_nobody_listens_the_load_fails_in_one_line() -> None:
    with pytest.raises(LoadFailed, match=r"cannot connect to http://127\.0\.0\.1:9"):
        send("http://127.0.0.1:9", [b"GET / HTTP/1.1\r\n\r\n"], clients=1)


def test_an_answer_is_whole_when_as_many_bytes_are_there_as_it_says() -> None:
    whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\n\r\n{  }"
    for length in range(len(whole)):
        assert answer_in(whole[:length]) is None
    assert answer_in(whole) == (200, whole[:-8], b"{  }")
    assert answer_in(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"HTTP/1.1 204 No Content", b"")
    with pytest.raises(ValueError, match="not an answer of known length"):
        answer_in(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
