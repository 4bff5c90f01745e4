"""The order that ``conveyor run`` places, against a gateway of cardboard."""

from collections.abc import Iterator
from typing import Any

import pytest

from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor import first_order as module
from conveyor.client import Answer

AT = {"at": "2026-11-22T10:00:00.120000+00:00", "code": None}
PLACED = {**AT, "kind": "placed", "from_status": None, "to_status": "Pending", "reason": None}
PRICED = {**AT, "kind": "priced", "from_status": None, "to_status": None, "reason": "total 14.90"}
SHIPPED = {**AT, "kind": "delivery", "from_status": "Pending", "to_status": "Pending Shipment", "reason": None}


class Cardboard:
    """Answers as a gateway would; each look at the order finds the next of ``moments``: (status, events)."""

    products: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    moments: list[tuple[str, list[dict[str, Any]]]] = []
    posted: list[tuple[str, Any, str | None]] = []

    def __init__(self, url: str, patience: float) -> None:
        self.events: list[dict[str, Any]] = []

    def post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        self.posted.append((path, body, key))
        return Answer(201, {"id": path.strip("/"), "status": "Pending"}, {})

    def get(self, path: str) -> Answer:
        status, self.events = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        return Answer(200, {"id": "orders", "status": status}, {})

    def every(self, path: str, limit: int = 20) -> Iterator[dict[str, Any]]:
        yield from {"/products": self.products, "/orders": self.orders}.get(path, self.events)


@pytest.fixture
def cardboard(monkeypatch: pytest.MonkeyPatch) -> type[Cardboard]:
    monkeypatch.setattr(module, "Gateway", Cardboard)
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    Cardboard.posted, Cardboard.orders = [], []
    Cardboard.products = [
        {"id": "own", "sku": "OWN", "name": "The shop's own", "status": "active", "stock_quantity": 9},
        {"id": "gone", "sku": "MUG-STONE", "name": "Gone", "status": "discontinued", "stock_quantity": 9},
        {"id": "empty", "sku": "MUG-STONE", "name": "Empty", "status": "active", "stock_quantity": 0},
        {"id": "lamp", "sku": "LAMP-ARC", "name": "Lamp", "status": "active", "stock_quantity": 1},
    ]
    return Cardboard


def test_it_orders_what_is_in_stock_and_tells_each_event_once(cardboard: type[Cardboard]) -> None:
    cardboard.moments = [
        ("Pending", [PLACED]),
        ("Pending", [PLACED, PRICED]),
        ("Pending Shipment", [PLACED, PRICED, SHIPPED]),
    ]
    said: list[str] = []
    order = module.first_order(Settings(), said.append, lambda: False)
    assert order is not None
    assert order["status"] == "Pending Shipment"
    customer, placed = cardboard.posted
    assert customer[2] == "conveyor-run-first-customer"
    assert placed[1] == {"customer_id": "customers", "items": [{"product_id": "lamp", "quantity": 1}]}
    assert said[0] == "Order orders: 1 x Lamp"
    assert [line.split()[3] for line in said[1:]] == ["placed", "priced", "delivery"]
    assert said[2].endswith("total 14.90")
    assert said[3].endswith("Pending -> Pending Shipment")


def test_an_order_that_does_not_end_is_said_to_have_not(cardboard: type[Cardboard]) -> None:
    cardboard.moments = [("Pending", [PLACED])]
    with pytest.raises(ConveyorError, match="order orders has not ended after"):
        module.first_order(Settings(), print, lambda: False)


def test_it_is_not_followed_while_everything_stops(cardboard: type[Cardboard]) -> None:
    cardboard.moments = [("Pending", [PLACED])]
    order = module.first_order(Settings(), print, lambda: True)
    assert order is not None
    assert order["status"] == "Pending"


def test_a_shop_without_stock_is_said_to_have_none(cardboard: type[Cardboard]) -> None:
    cardboard.products = cardboard.products[:3]
    with pytest.raises(ConveyorError, match="no product of the sample catalogue is in stock"):
        module.first_order(Settings(), print, lambda: False)
    assert cardboard.posted == []


def test_nothing_is_ordered_in_a_shop_that_has_orders(cardboard: type[Cardboard]) -> None:
    cardboard.orders = [{"id": "somebody's"}]
    assert module.first_order(Settings(), print, lambda: False) is None
    assert cardboard.posted == []
