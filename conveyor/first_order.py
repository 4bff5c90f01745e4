"""The order that ``conveyor run`` places when all is ready: the quickest proof that everything works together."""

import csv
import time
from collections.abc import Callable
from typing import Any

from chassis.errors import ConveyorError
from chassis.printable import printable
from chassis.settings import Settings
from conveyor.children import CATALOGUE
from conveyor.client import Gateway, Refused
from conveyor.order.shown import happened

PATIENCE = 30.0  # seconds until the order has to have ended
CUSTOMER = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0000",
    "address": "12 St James's Square, London",
}


def first_order(settings: Settings, say: Callable[[str], None], stopping: Callable[[], bool]) -> dict[str, Any] | None:
    """Place an order through the gateway, tell each of its events as it happens, and return it as it then is.

    None where the shop has an order already: it is somebody's, and nothing is ordered there that nobody wants.
    Raises ConveyorError where the gateway refuses, where nothing is in stock, or where it takes over 30 seconds. Once
    ``stopping`` says so, it is not followed any further.
    """
    gateway = Gateway(settings.gateway_url, patience=5)
    if next(gateway.every("/orders", limit=1), None) is not None:
        return None
    product = _something_in_stock(gateway)
    customer = _customer(gateway)
    began = time.monotonic()
    line = {"product_id": product["id"], "quantity": 1}
    order = gateway.post("/orders", {"customer_id": customer["id"], "items": [line]}).body
    say(f"Order {order['id']}: 1 x {printable(product['name'])}")
    told = 0
    while time.monotonic() - began < PATIENCE:
        # The order first: an event is written together with its status, so the events are then complete.
        order = gateway.get(f"/orders/{order['id']}").body
        events = list(gateway.every(f"/orders/{order['id']}/events"))
        for event in events[told:]:
            say(printable(happened(event, events[0]["at"])))
        told = len(events)
        if order["status"] != "Pending" or stopping():
            return dict(order)
        time.sleep(0.02)
    raise ConveyorError(f"order {order['id']} has not ended after {PATIENCE:.0f} s")


def _customer(gateway: Gateway) -> dict[str, Any]:
    """The customer of the first run answers again in every later one: by the key, and by the address once it is old."""
    try:
        return dict(gateway.post("/customers", CUSTOMER, key="conveyor-run-first-customer").body)
    except Refused as refusal:
        if refusal.code not in ("email_taken", "idempotency_key_reused"):
            raise
        return dict(gateway.get("/customers", email=CUSTOMER["email"]).body["items"][0])


def _something_in_stock(gateway: Gateway) -> dict[str, Any]:
    """A product of the sample catalogue, never one of the shop's own."""
    with CATALOGUE.open(newline="") as file:
        samples = {row["sku"] for row in csv.DictReader(file)}
    for product in gateway.every("/products"):
        if product["sku"] in samples and product["status"] == "active" and product["stock_quantity"] > 0:
            return product
    raise ConveyorError("no product of the sample catalogue is in stock")
