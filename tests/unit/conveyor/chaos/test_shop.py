"""A client of a chaos run: it sends a request under one key until it is told something definite."""

import time

from conveyor.chaos.plans import Plan
from conveyor.chaos.shop import Known, Shop, Told
from conveyor.replay.book import Invoice, Item
from conveyor.replay.prepare import Ids
from tests.unit.conveyor.conftest import FakeGateway


def placed(gateway: FakeGateway, seconds: float = 20.0) -> Known:
    product = gateway.create("/products", b'{"sku": "MUG", "stock_quantity": 5}', "product")[1]
    plan = Plan(0, 0.0, Invoice("1", "", "", None, [Item("MUG", 2, 1, "")]), None, ())
    shop = Shop(gateway.url, "run", [plan], Ids({"MUG": product["id"]}, {"": "customer-1"}))
    shop.run(time.monotonic(), time.monotonic() + seconds)
    [order] = shop.known
    return order


def test_an_order_is_sent_until_it_is_answered_and_made_once(gateway: FakeGateway) -> None:
    gateway.faults = [("/orders", 503), ("/orders", 0), ("/orders", 409)]
    order = placed(gateway)
    assert (order.placed, order.order_id) == (Told(201), "order-1")
    assert len(gateway.orders) == 1
    assert gateway.requests.count(("POST", "/orders")) == 4


def test_an_answer_that_should_never_be_given_is_remembered(gateway: FakeGateway) -> None:
    gateway.faults = [("/orders", 500)]
    order = placed(gateway)
    assert order.order_id is None
    assert order.surprises == [Told(500, "unavailable")]


def test_a_request_without_an_answer_in_time_stays_without_one(gateway: FakeGateway) -> None:
    gateway.faults = [("/orders", 503)] * 9
    assert placed(gateway, seconds=0.7).placed is None
