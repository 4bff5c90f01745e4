"""A gateway that answers what a test tells it to, and notes what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from conveyor import cli

Answer = tuple[int, Any]


class ToldGateway(ThreadingHTTPServer):
    """``answers`` maps "GET /path" to (status, body), or to a list of them, of which the last one repeats."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[tuple[str, Any, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer_to(self, what: str) -> Answer:
        told = self.answers.get(what) or self.answers.get(what.partition("?")[0])
        if told is None:
            return 404, {"code": "not_found", "detail": f"nobody told me about {what}"}
        if isinstance(told, list):
            return told.pop(0) if len(told) > 1 else told[0]
        return told


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: ToldGateway

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
        what = f"{self.command} {self.path}"
        self.server.asked.append((what, json.loads(raw) if raw else None, dict(self.headers)))
        status, body = self.server.answer_to(what)
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        if urlsplit(self.path).path == "/orders" and self.headers["Idempotency-Key"] == "again":
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(sent)

    do_POST = do_PATCH = do_GET

    def log_message(self, *_: Any) -> None:
        """Silence: the test says what went wrong."""


@pytest.fixture
def told() -> Iterator[ToldGateway]:
    server = ToldGateway()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def conveyor(told: ToldGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command line, with that gateway and no stack."""
    monkeypatch.setenv("CONVEYOR_GATEWAY_URL", told.url)
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(cli.cli, arguments)
