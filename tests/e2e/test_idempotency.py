"""A request that is sent many times makes one order, whatever becomes of Redis meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
import redis
from uuid_utils.compat import uuid7

from gateway_app.routes import ROUTES
from tests.e2e.shop import Answer, Shop, at_once
from tests.e2e.stack import Stack, until

TIMES = 50


def post_many_times(shop: Shop, product: str, key: str) -> list[Answer]:
    return at_once(lambda: shop.send("POST", "/orders", shop.draft(product), idempotency_key=key), TIMES)


def one_order_came_of(shop: Shop, answers: list[Answer]) -> str:
    """Check that it is one, and that every answer says so. Its id."""
    [order] = shop.orders()
    for each in answers:
        assert (each.status, each.body["id"]) == (201, order["id"]), each
    assert [each.replayed for each in answers].count(False) == 1
    return str(order["id"])


@contextmanager
def flushed_again_and_again(stack: Stack) -> Iterator[None]:
    done = threading.Event()

    def flush() -> None:
        with redis.Redis.from_url(stack.setting("redis_url")) as client:
            while not done.is_set():
                client.flushall()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("stack", ["rabbitmq", "valkey"], indirect=True)
def test_fifty_copies_of_a_request_make_one_order(shop: Shop) -> None:
    product, key = shop.add_product(stock=100), uuid7().hex
    order = one_order_came_of(shop, post_many_times(shop, product, key))
    shop.becomes(order, "Pending Shipment")
    late = shop.send("POST", "/orders", shop.draft(product), idempotency_key=key)
    assert (late.status, late.body["id"], late.replayed) == (201, order, True)
    other = shop.send("POST", "/orders", shop.draft(product, quantity=2), idempotency_key=key)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert shop.invariants(product) == (99, 99, 1)


def test_fifty_copies_make_one_order_while_redis_is_flushed(shop: Shop) -> None:
    product, key = shop.add_product(stock=100), uuid7().hex
    with flushed_again_and_again(shop.stack):
        answers = post_many_times(shop, product, key)
    shop.becomes(one_order_came_of(shop, answers), "Pending Shipment")
    assert shop.invariants(product) == (99, 99, 1)


def test_fifty_copies_make_one_order_while_redis_dies_and_comes_back(shop: Shop) -> None:
    product, key, before = shop.add_product(stock=100), uuid7().hex, len(shop.stack.said())
    shop.stack.signal("valkey")
    answers = post_many_times(shop, product, key)
    shop.stack.tells_of_death("valkey", before)
    shop.stack.hears("valkey is ready again", before)
    again = post_many_times(shop, product, key)
    assert all(each.replayed for each in again)
    shop.becomes(one_order_came_of(shop, answers + again), "Pending Shipment")
    assert shop.invariants(product) == (99, 99, 1)


def test_orders_are_taken_and_finish_while_redis_hangs(shop: Shop) -> None:
    product, key = shop.add_product(stock=100), uuid7().hex
    pid = shop.stack.pid("valkey")
    with shop.stack.standing_still("valkey"):
        answers = [shop.send("POST", "/orders", shop.draft(product), idempotency_key=key) for _ in range(2)]
        shop.becomes(one_order_came_of(shop, answers), "Pending Shipment")
    assert shop.stack.pid("valkey") == pid
    assert shop.invariants(product) == (99, 99, 1)


@contextmanager
def customer_in_hand(shop: Shop) -> Iterator[None]:
    """Somebody holds the customer's row: whoever places an order for it waits, with the order's row written."""
    with contextlib.closing(psycopg2.connect(shop.stack.setting("sales_database_url"))) as connection:
        connection.cursor().execute("SELECT FROM customers WHERE id = %s FOR UPDATE", [shop.customer])
        yield


def waits_for_a_lock(shop: Shop) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO orders%%'"
    return bool(shop.stack.ask("sales", query)[0][0])


def test_a_retry_gets_its_order_after_the_gateway_was_killed_in_the_middle_of_the_request(shop: Shop) -> None:
    # Given a gateway that is killed while sales has a request of the command line's in hand
    product, before = shop.add_product(stock=100), len(shop.stack.said())
    place = ["order", "place", "--customer", shop.customer, "--item", f"{product}=1", "--key", uuid7().hex]
    with ThreadPoolExecutor(1) as pool:
        with customer_in_hand(shop):
            first = pool.submit(shop.stack.conveyor, *place)
            until(lambda: waits_for_a_lock(shop))
            shop.stack.signal("gateway")
        first.result(60)
    shop.stack.tells_of_death("gateway", before)
    until(shop.stack.well, see=shop.stack.said)

    # When it is sent again, I expect the order, and not to be told to come again
    began = time.monotonic()
    again = shop.stack.conveyor(*place)
    assert again.returncode == 0, again.stderr
    assert "It was placed before, under this key." in again.stdout
    assert time.monotonic() - began < 10
    assert shop.outcome() == {"Pending Shipment": 1}


def requests_that_create(shop: Shop, product: str) -> dict[tuple[str, str], tuple[str, Any]]:
    """For each route that makes a row: a path and a body."""
    sku = uuid7().hex
    return {
        ("POST", "/orders"): ("/orders", shop.draft(product)),
        ("POST", "/customers"): ("/customers", {"name": "Bo", "email": f"{sku}@example.com", "address": "here"}),
        ("POST", "/products"): ("/products", {"sku": sku, "name": "Lamp", "price": "2.50", "stock_quantity": 1}),
        ("POST", "/products/<uuid:product_id>/stock"): (
            f"/products/{product}/stock",
            {"quantity": 1, "reason": "counted"},
        ),
    }


@contextmanager
def nothing_happens(_stack: Stack) -> Iterator[None]:
    yield


@contextmanager
def without_redis(stack: Stack) -> Iterator[None]:
    with stack.standing_still("valkey"):
        yield


@pytest.mark.parametrize("world", [nothing_happens, without_redis, flushed_again_and_again])
def test_one_key_serves_every_route_that_creates_and_is_used_once_on_each(shop: Shop, world: Any) -> None:
    product, key = shop.add_product(stock=100), uuid7().hex
    requests = requests_that_create(shop, product)
    assert set(requests) == {(each.method, each.path) for each in ROUTES if each.creates}
    with world(shop.stack):
        for path, body in requests.values():
            first, again = (shop.send("POST", path, body, idempotency_key=key) for _ in range(2))
            assert (first.status, first.replayed) == (201, False), (path, first.body)
            assert (again.status, again.replayed) == (201, True), (path, again.body)
            assert first.body.get("id") == again.body.get("id")


@pytest.mark.parametrize("world", [nothing_happens, without_redis])
def test_one_key_for_the_stock_of_two_products_is_refused(shop: Shop, world: Any) -> None:
    """It is one route: the other product is what makes it another request."""
    one, two, key = shop.add_product(stock=1), shop.add_product(stock=1), uuid7().hex
    body = {"quantity": 1, "reason": "counted"}
    with world(shop.stack):
        assert shop.send("POST", f"/products/{one}/stock", body, idempotency_key=key).status == 201
        other = shop.send("POST", f"/products/{two}/stock", body, idempotency_key=key)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert shop.stock(two) == 1
