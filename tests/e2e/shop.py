"""What a shop does with Conveyor: customers, products and orders, through the gateway and nothing else."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3
from uuid_utils.compat import uuid7

from tests.e2e.stack import Stack, until

T = TypeVar("T")
#: The saga of an order with one of these is under way.
OPEN = {"Pending", "Cancelling"}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whatever its status; the body is JSON."""

    status: int
    body: Any
    headers: urllib3.HTTPHeaderDict

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


@contextmanager
def shop_of(stack: Stack) -> Iterator["Shop"]:
    """A customer of this stack, with connections of its own."""
    with urllib3.PoolManager(maxsize=64, timeout=urllib3.Timeout(connect=5, read=60)) as pool:
        yield Shop(stack, pool)


class Shop:
    """One customer of one stack. Each test has its own, and so sees its own orders only."""

    def __init__(self, stack: Stack, pool: urllib3.PoolManager) -> None:
        self.stack = stack
        self._pool = pool
        self.url = stack.setting("gateway_url")
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        self.customer = self.send("POST", "/customers", details).body["id"]

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; ``prefer="wait=5"`` becomes a header. Raises urllib3's HTTPError where nobody answers."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = None if body is None else json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        answer = self._pool.request(method, self.url + path, body=raw, headers=sent, retries=False)
        return Answer(answer.status, json.loads(answer.data), answer.headers)

    def add_product(self, stock: int) -> str:
        body = {"sku": uuid7().hex, "name": "Lamp", "price": "2.50", "stock_quantity": stock}
        answer = self.send("POST", "/products", body)
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def stock(self, product: str) -> int:
        return int(self.send("GET", f"/products/{product}").body["stock_quantity"])

    def draft(self, product: str, quantity: int = 1) -> dict[str, Any]:
        """The body of an order."""
        return {"customer_id": self.customer, "items": [{"product_id": product, "quantity": quantity}]}

    def place(self, product: str, quantity: int = 1, **headers: str) -> dict[str, Any]:
        """An order that is taken: its body."""
        answer = self.send("POST", "/orders", self.draft(product, quantity), **headers)
        assert answer.status == 201, answer
        return dict(answer.body)

    def order(self, order_id: str) -> dict[str, Any]:
        answer = self.send("GET", f"/orders/{order_id}")
        assert answer.status == 200, answer
        return dict(answer.body)

    def events(self, order_id: str) -> list[dict[str, Any]]:
        return list(self.send("GET", f"/orders/{order_id}/events").body["items"])

    def orders(self) -> list[dict[str, Any]]:
        """All orders of this customer."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.send("GET", f"/orders?customer_id={self.customer}&limit=100{cursor}")
            assert page.status == 200, page
            found += page.body["items"]
            if not page.body["next_cursor"]:
                return found
            cursor = f"&cursor={page.body['next_cursor']}"

    def becomes(self, order_id: str, status: str, seconds: float = 60.0) -> dict[str, Any]:
        """The order, once it is this."""
        until(lambda: self.order(order_id)["status"] == status, seconds, lambda: self.order(order_id))
        return self.order(order_id)

    def outcome(self, seconds: float = 90.0) -> dict[str, int]:
        """How many orders of this customer ended as what, once all have."""

        def statuses() -> dict[str, int]:
            return dict(Counter(each["status"] for each in self.orders()))

        until(lambda: not OPEN & statuses().keys(), seconds, statuses)
        return statuses()

    def invariants(self, product: str) -> tuple[int, int, int]:
        """What the databases say of this product: its stock, its ledger's sum, the units that orders hold."""
        look = "SELECT stock_quantity, (SELECT sum(quantity) FROM stock_movements WHERE product_id = products.id)"
        look += ", (SELECT coalesce(-sum(quantity), 0) FROM stock_movements"
        look += " WHERE product_id = products.id AND order_id IS NOT NULL) FROM products WHERE id = %(id)s"
        [(stock, ledger, held)] = self.stack.ask("inventory", look, id=product)
        return int(stock), int(ledger), int(held)


def at_once(work: Callable[[], T], times: int) -> list[T]:
    """Do the same from that many threads."""
    return each_at_once([work] * times)


def each_at_once(work: Iterable[Callable[[], T]]) -> list[T]:
    """Do all of these at the same time, each in a thread of its own."""
    jobs = list(work)
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [each.result() for each in [pool.submit(job) for job in jobs]]
