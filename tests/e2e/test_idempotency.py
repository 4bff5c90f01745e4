"""A request that is sent many times makes one order, whatever becomes of Redis meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from uuid_utils.compat import uuid7

from tests.e2e.shop import Answer, Shop, at_once
from tests.e2e.stack import Stack

TIMES = 50


def post_many_times(shop: Shop, product: str, key: str) -> list[Answer]:
    return at_once(lambda: shop.send("POST", "/orders", shop.draft(product), idempotency_key=key), TIMES)


def one_order_came_of(shop: Shop, answers: list[Answer]) -> str:
    """Check that it is one, and that every answer says so. Its id."""
    [order] = shop.orders()
    for each in answers:
        if each.status == 409:
            assert each.body["code"] == "idempotency_key_in_progress"
            assert each.headers["Retry-After"] == "1"
        else:
            assert (each.status, each.body["id"]) == (201, order["id"]), each
    taken = [each for each in answers if each.status == 201]
    assert [each.replayed for each in taken].count(False) == 1
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
    again = [each for each in post_many_times(shop, product, key) if each.status == 201]
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
