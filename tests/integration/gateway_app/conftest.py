"""The gateway with a real Valkey, in front of stand-ins for the services."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chassis.cache import Cache
from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from gateway_app.app import create_app


@dataclass
class Seen:
    """A request that reached a service."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeService:
    """A service that keeps its promise about Idempotency-Keys: a unique key, and the same answer again.

    ``meddle`` is called with each request's handler before the answer: it may wait, or break the connection off.
    """

    port: int = field(default_factory=free_port)
    seen: list[Seen] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    meddle: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
    lock: threading.RLock = field(default_factory=threading.RLock)
    server: ThreadingHTTPServer | None = None
    connections: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "FakeService":
        service = self
        connections = self.connections

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                connections.append(self.connection)

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Seen(self.command, self.path, dict(self.headers), body)
                service.seen.append(request)
                service.meddle(self)
                if self.close_connection:
                    return
                status, headers, content = service.respond(request)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Server": "secret/1.0", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = answer

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A connection that a test broke off is no news."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Gone, with every connection."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.cut_connections()
            self.server = None

    def cut_connections(self) -> None:
        """Close what is open, as a service does that is restarted."""
        for each in self.connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def respond(self, request: Seen) -> tuple[int, dict[str, str], bytes]:
        path = request.target.partition("?")[0]
        if request.target in self.answers:
            return self.answers[request.target]
        if path == "/orders" and request.method == "POST":
            return self._place(request)
        found = self.orders.get(path.split("/")[2] if path.count("/") >= 2 else "")
        if path.startswith("/orders/") and found is None:
            problem = {"status": 404, "code": "not_found", "instance": path}
            problem["correlation_id"] = request.headers["X-Request-ID"]
            return 404, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode()
        status = 202 if request.method in ("PUT", "POST") and path.startswith("/orders/") else 200
        return status, {"ETag": '"2"'}, json.dumps(found or {}).encode()

    def _place(self, request: Seen) -> tuple[int, dict[str, str], bytes]:
        key = request.headers.get("Idempotency-Key", str(uuid4()))
        with self.lock:
            order_id, digest = self.by_key.get(key, ("", ""))
            headers = {"ETag": '"1"'}
            if order_id and digest != request.headers["X-Request-Digest"]:
                body = json.dumps({"status": 422, "code": "idempotency_key_reused"}).encode()
                return 422, {"Content-Type": "application/problem+json"}, body
            if order_id:
                headers["Idempotent-Replayed"] = "true"
            else:
                order_id = str(uuid4())
                self.orders[order_id] = {"id": order_id, "status": "Pending"}
                self.by_key[key] = (order_id, request.headers.get("X-Request-Digest", ""))
        headers["Location"] = f"/orders/{order_id}"
        return 201, headers, json.dumps(self.orders[order_id]).encode()

    def reads(self) -> int:
        """How often an order was read."""
        return sum(each.method == "GET" for each in self.seen)


@pytest.fixture
def sales() -> Iterator[FakeService]:
    service = FakeService().start()
    yield service
    service.stop()


@pytest.fixture
def inventory() -> Iterator[FakeService]:
    service = FakeService().start()
    yield service
    service.stop()


@pytest.fixture
def settings(valkey: Valkey, sales: FakeService, inventory: FakeService) -> Settings:
    return Settings(
        redis_url=valkey.url(),
        sales_url=sales.url,
        inventory_url=inventory.url,
        delivery_url=f"http://127.0.0.1:{free_port()}",
        upstream_connect_timeout=0.5,
        upstream_timeout=1.0,
        gateway_threads=4,
    )


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def cache(settings: Settings) -> Cache:
    """Another process's side of the cache: it announces."""
    return Cache(settings.redis_url, settings.redis_timeout)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait for a condition, ten seconds at most."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)
        return value

    return wait
