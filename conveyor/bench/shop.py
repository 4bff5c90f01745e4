"""What orders are made of: customers and products of the benchmark's own, and order bodies at random."""

import random
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from chassis.settings import Settings
from conveyor.bench.load import LoadFailed, request, send
from conveyor.bench.pipeline import Pipeline
from conveyor.client import Gateway
from conveyor.databases import Databases
from conveyor.stack import running

#: How much there is of each product: more than is ever sold.
PLENTY = 10_000_000
PRICE = "5.00"
PREFIX, DOMAIN = "BENCH-", "bench.example"
LOADERS = 8


class Shop:
    """Conveyor as a shop of our own: a gateway, customers, and products that never run out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gateway = Gateway(settings.gateway_url, connections=LOADERS, timeout=30, patience=30)
        self.pipeline = Pipeline(settings.gateway_url, settings.database_url("sales"), self.processes)

    def processes(self) -> Mapping[str, int]:
        """The pids of the stack that runs here, by name; none where the system runs elsewhere."""
        stack = running(self.settings.state_dir)
        return {**stack.processes, "supervisor": stack.supervisor} if stack else {}

    def customer(self, name: str) -> str:
        """A new customer's id. Raises GatewayError."""
        wanted = {"name": f"Bench {name}", "email": f"{name}-{uuid4()}@{DOMAIN}", "address": "1 High Street"}
        return str(self.gateway.post("/customers", wanted, key=str(uuid4())).body["id"])

    def product(self, stock: int) -> str:
        """A new product's id, of which there is so much. Raises GatewayError."""
        return str(self.gateway.post("/products", _product(f"{PREFIX}{uuid4()}", stock), key=str(uuid4())).body["id"])

    def products(self, count: int) -> list[str]:
        """The ids of so many products that never run out. Raises LoadFailed."""
        return list(self.stocked({f"{PREFIX}{number:04}": PRICE for number in range(count)}).values())

    def stocked(self, prices: Mapping[str, str]) -> dict[str, str]:
        """The ids of these products by sku; made where they are missing, with plenty of each. Raises LoadFailed."""
        there = self._known(list(prices))
        missing = [sku for sku in prices if sku not in there]
        if missing:
            url = self.settings.gateway_url
            requests = [request("POST", url, "/products", _product(sku, PLENTY, prices[sku])) for sku in missing]
            answers = send(url, requests, LOADERS, "products")
            there = self._known(list(prices))
            if len(there) < len(prices):
                raise LoadFailed(f"the products could not be made: {'; '.join(answers.errors)}")
        return {sku: there[sku] for sku in prices}

    def asking(self, service: str, query: str, **values: object) -> list[Any]:
        """Rows of a service's database. Raises DatabaseDown."""
        with Databases(self.settings) as databases, databases.reading(service) as connection:
            return list(connection.execute(text(query), values))

    def _known(self, skus: Sequence[str]) -> dict[str, str]:
        query = "SELECT sku, CAST(id AS text) AS id FROM products WHERE sku = ANY(:skus) AND status = 'active'"
        return {row.sku: row.id for row in self.asking("inventory", query, skus=list(skus))}


def _product(sku: str, stock: int, price: str = PRICE) -> dict[str, object]:
    return {"sku": sku, "name": f"Bench product {sku}", "price": price, "stock_quantity": stock}


def ordinary(
    url: str, customer: str, products: Sequence[str], orders: int, lines: int, *, naive: bool = False
) -> list[bytes]:
    """So many orders of so many different products each, chosen at random, one unit a line.

    The naive pipeline takes its prices and the address from the client.
    """
    chosen = random.Random(orders)
    price = {"price": PRICE} if naive else {}
    address = {"address": "1 High Street"} if naive else {}
    found = []
    for _ in range(orders):
        wanted = chosen.sample(products, min(lines, len(products)))
        items = [{"product_id": each, "quantity": 1, **price} for each in wanted]
        found.append(request("POST", url, "/orders", {"customer_id": customer, "items": items, **address}))
    return found
