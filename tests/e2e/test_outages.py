"""Processes that are killed under load: whoever asks is answered, every order finishes, the supervisor says so."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from uuid_utils.compat import uuid7

from tests.e2e.pressure import database_away
from tests.e2e.shop import Answer, Shop, each_at_once
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.rabbitmq


def dead_letters(stack: Stack) -> int:
    """Messages in all dead-letter queues, and in the quarantine that they are brought to."""
    seen = json.loads(stack.conveyor("status", "--json").stdout)
    return int(seen["quarantine"] + sum(each["dead"] for each in seen["queues"].values()))


@contextmanager
def orders_arriving(shop: Shop, product: str) -> Iterator[list[Answer]]:
    """Four clients that place one order after the other as long as the block lasts; their answers."""
    answers: list[Answer] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            answers.append(shop.send("POST", "/orders", shop.draft(product)))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        until(lambda: len(answers) >= 8)
        yield answers
        enough = len(answers) + 8
        until(lambda: len(answers) >= enough)
    finally:
        done.set()
        for each in threads:
            each.join()


def test_orders_are_taken_while_the_broker_is_dead_and_finish_when_it_is_back(shop: Shop) -> None:
    product, before = shop.add_product(stock=10_000), len(shop.stack.said())
    with orders_arriving(shop, product) as answers:
        shop.stack.signal("rabbitmq")
        shop.stack.tells_of_death("rabbitmq", before)
    assert {each.status for each in answers} == {201}
    shop.stack.hears("rabbitmq is ready again", before, seconds=120)
    assert shop.outcome(seconds=120) == {"Pending Shipment": len(answers)}
    assert dead_letters(shop.stack) == 0
    assert shop.invariants(product) == (10_000 - len(answers), 10_000 - len(answers), len(answers))


@pytest.mark.parametrize("process", ["worker-inventory", "relay-sales"])
def test_every_order_finishes_though_a_process_was_killed(shop: Shop, process: str) -> None:
    product, before = shop.add_product(stock=10_000), len(shop.stack.said())
    with orders_arriving(shop, product) as answers:
        shop.stack.signal(process)
        shop.stack.tells_of_death(process, before)
    assert {each.status for each in answers} == {201}
    assert shop.outcome() == {"Pending Shipment": len(answers)}
    shop.stack.hears(f"{process} is ready again", before)
    assert dead_letters(shop.stack) == 0
    assert shop.invariants(product) == (10_000 - len(answers), 10_000 - len(answers), len(answers))


def test_every_order_that_was_taken_finishes_though_the_database_was_killed(shop: Shop) -> None:
    product, before = shop.add_product(stock=10_000), len(shop.stack.said())
    with orders_arriving(shop, product) as answers:
        shop.stack.signal("postgres")
        shop.stack.tells_of_death("postgres", before)
        shop.stack.hears("postgres is ready again", before)
        until(lambda: answers[-1].status == 201)
    assert {each.status for each in answers} <= {201, 503}
    taken = {each.body["id"] for each in answers if each.status == 201}
    # The commit of a request that was answered 503 may have been the last thing that the database did.
    assert taken <= {each["id"] for each in shop.orders()}
    ended = shop.outcome()
    assert ended.keys() == {"Pending Shipment"}
    assert dead_letters(shop.stack) == 0
    left = 10_000 - ended["Pending Shipment"]
    assert shop.invariants(product) == (left, left, ended["Pending Shipment"])


@pytest.mark.parametrize("service", ["sales", "inventory"])
def test_every_order_that_was_taken_finishes_though_one_database_was_away(shop: Shop, service: str) -> None:
    product = shop.add_product(stock=10_000)
    with orders_arriving(shop, product) as answers:
        with database_away(shop.stack, service):
            enough = len(answers) + 60
            until(lambda: len(answers) >= enough)
        until(lambda: answers[-1].status == 201)
    refused = [each for each in answers if each.status != 201]
    assert (service == "sales") == bool(refused)
    assert {each.status for each in refused} <= {503}
    assert all(int(each.headers["Retry-After"]) > 0 for each in refused)
    taken = {each.body["id"] for each in answers if each.status == 201}
    ended = shop.outcome()
    assert taken <= {each["id"] for each in shop.orders()}
    assert ended.keys() == {"Pending Shipment"}
    assert not any(each["needs_attention"] for each in shop.orders())
    assert dead_letters(shop.stack) == 0
    left = 10_000 - ended["Pending Shipment"]
    assert shop.invariants(product) == (left, left, ended["Pending Shipment"])


def test_while_a_service_is_down_the_gateway_says_so_at_once_and_then_recovers(shop: Shop) -> None:
    before, slowest = len(shop.stack.said()), 0.0

    def ask() -> Answer:
        nonlocal slowest
        began = time.monotonic()
        answer = shop.send("GET", f"/customers/{shop.customer}")
        slowest = max(slowest, time.monotonic() - began)
        return answer

    shop.stack.signal("sales")
    refused = until(lambda: (answer := ask()).status != 200 and answer)
    assert refused.status == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.body["correlation_id"]
    assert shop.send("GET", "/products?limit=1").status == 200
    shop.stack.tells_of_death("sales", before)
    until(lambda: ask().status == 200)
    assert slowest < 5
    shop.stack.hears("sales is ready again", before)
    assert shop.place(shop.add_product(stock=1), prefer="wait=30")["status"] == "Pending Shipment"


def test_a_request_to_a_service_that_hangs_is_answered_and_can_safely_be_sent_again(shop: Shop) -> None:
    product, key = shop.add_product(stock=5), uuid7().hex

    def post() -> Answer:
        return shop.send("POST", "/orders", shop.draft(product), idempotency_key=key)

    with shop.stack.standing_still("sales"):
        unclear, health = each_at_once([post, lambda: shop.send("GET", "/health")])
    assert (unclear.status, unclear.body["code"]) == (503, "upstream_timeout")
    assert unclear.body["may_have_been_executed"] is True
    assert (health.status, health.body["down"]) == (503, ["sales"])
    taken = until(lambda: (answer := post()).status == 201 and answer)
    [order] = shop.orders()
    assert taken.body["id"] == order["id"]
    shop.becomes(order["id"], "Pending Shipment")
