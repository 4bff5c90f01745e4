"""A gateway in this process, for the command line to speak to: the real HTTP, none of what is behind it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chassis.lookalikes import look_alike

AT = "2026-01-02T03:04:{:09.6f}+00:00"


class FakeGateway(ThreadingHTTPServer):
    """Keeps products, customers and orders in memory; an order takes its stock, or is rejected, at once.

    ``faults`` are answered before anything else, each once, to creating requests of its path: ``(path, status)``; the
    status 0 does the work and then drops the connection. ``open_for`` is how many times an order's timeline says
    Pending first.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.products: dict[str, dict[str, Any]] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.adjustments: list[tuple[str, int, str]] = []
        self.answers: dict[str, tuple[str, dict[str, Any]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[tuple[str, int]] = []
        self.open_for = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections are dropped on purpose here: nothing to print."""

    def find(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        kind, _, rest = path.lstrip("/").partition("/")
        if kind == "health":
            return 200, {"status": "ok"}
        if kind == "orders":
            order_id, _, events = rest.partition("/")
            timeline = {"items": self.timeline(order_id), "next_cursor": None}
            return 200, timeline if events else {"id": order_id, "reason": self.orders[order_id]["ends_for"]}
        if kind == "products" and rest:
            return 200, self.products[rest]
        query = {name: text for name, text in query.items() if name not in ("limit", "cursor")}
        things = list((self.products if kind == "products" else self.customers).values())
        found = [each for each in things if all(str(each[name]) == text for name, text in query.items())]
        return 200, {"items": found, "next_cursor": None}

    def timeline(self, order_id: str) -> list[dict[str, Any]]:
        order = self.orders[order_id]
        placed = {"at": order["created_at"], "kind": "placed", "to_status": "Pending", "reason": None}
        order["asked"] += 1
        if order["asked"] <= self.open_for:
            return [placed]
        moved = {"at": AT.format(order["second"] + 0.25), "kind": "ended", "from_status": "Pending"}
        return [placed, {**moved, "to_status": order["ends_as"], "reason": "Mug: 2 wanted, 1 in stock."}]

    def create(self, path: str, raw: bytes, key: str) -> tuple[int, Any, bool]:
        if key in self.answers:
            before, body = self.answers[key]
            if before != path + raw.decode():
                return 422, {"code": "idempotency_key_reused", "detail": "used for another request"}, False
            return 201, body, True
        status, body = self._make(path, json.loads(raw))
        if status == 201:
            self.answers[key] = (path + raw.decode(), body)
        return status, body, False

    def _make(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if path == "/products":
            return self._make_product(asked)
        if path == "/customers":
            if any(each["email"] == asked["email"] for each in self.customers.values()):
                return 409, {"code": "email_taken", "detail": "another customer has this address"}
            made = {**asked, "id": f"customer-{len(self.customers) + 1}"}
            self.customers[made["id"]] = made
            return 201, made
        if path == "/orders":
            return self._make_order(asked)
        product = self.products[path.split("/")[2]]
        if not asked["quantity"]:
            return 422, {"code": "invalid", "detail": "quantity: must not be 0"}
        if product["stock_quantity"] + asked["quantity"] < 0:
            return 409, {"code": "insufficient_stock", "detail": "not so many there"}
        product["stock_quantity"] += asked["quantity"]
        self.adjustments.append((product["sku"], asked["quantity"], asked["reason"]))
        return 201, dict(product)

    def _make_product(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["sku"] == "REFUSED":
            return 422, {
                "code": "invalid",
                "detail": "sku: not this one",
                "errors": [{"field": "sku", "message": "no"}],
            }
        if any(each["sku"] == asked["sku"] for each in self.products.values()):
            return 409, {"code": "sku_taken", "detail": "another product has this SKU"}
        allowed = asked.pop("allow_lookalikes", False)
        alike = [each["sku"] for each in self.products.values() if look_alike(each["sku"], asked["sku"])]
        if alike and not allowed:
            return 409, {"code": "sku_lookalike", "detail": f"The SKU {asked['sku']} looks like {alike[0]}."}
        made = {"stock_quantity": 0, **asked, "id": f"product-{len(self.products) + 1}"}
        self.products[made["id"]] = made
        return 201, dict(made)

    def _make_order(self, asked: dict[str, Any]) -> tuple[int, Any]:
        wanted: dict[str, int] = {}
        for item in asked["items"]:
            wanted[item["product_id"]] = wanted.get(item["product_id"], 0) + item["quantity"]
        enough = all(self.products[each]["stock_quantity"] >= units for each, units in wanted.items())
        for each, units in wanted.items() if enough else ():
            self.products[each]["stock_quantity"] -= units
        second = len(self.orders)
        made = {**asked, "id": f"order-{second + 1}", "status": "Pending", "created_at": AT.format(second)}
        self.orders[made["id"]] = {
            **made,
            "asked": 0,
            "second": second,
            "ends_as": "Pending Shipment" if enough else "Rejected",
            "ends_for": None if enough else "insufficient_stock",
        }
        return 201, made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # Head and body in one packet: in two, the second one waits 40 ms for the first one's ACK.
    server: FakeGateway

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self.server.lock:
            self.server.requests.append(("GET", parts.path))
            status, body = self.server.find(parts.path, dict(parse_qsl(parts.query)))
        self._answer(status, body)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.requests.append(("POST", self.path))
            fault = next((each for each in self.server.faults if each[0] == self.path), None)
            if fault:
                self.server.faults.remove(fault)
                if fault[1]:
                    code = "idempotency_key_in_progress" if fault[1] == 409 else "unavailable"
                    self._answer(fault[1], {"code": code, "detail": "not now"}, {"Retry-After": "0"})
                    return
            status, body, replayed = self.server.create(self.path, raw, self.headers["Idempotency-Key"])
        if fault:
            self.close_connection = True
            return
        self._answer(status, body, {"Idempotent-Replayed": "true"} if replayed else {})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Silence: the test says what went wrong."""


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    server = FakeGateway()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
