"""A row that somebody holds keeps those waiting who need it, and nobody else."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.idempotency import RequestKey
from sales.placing import place_order
from tests.integration.pipeline.processes import wait_until
from tests.integration.sales.conftest import Shop

#: Seconds within which a stranger has his order; a lock is waited for five.
SOON = 2.0
STRANGERS = 20


class Clients:
    """Clients that send orders at the same time, and how long each waits for the answer."""

    def __init__(self, shop: Shop, threads: ThreadPoolExecutor) -> None:
        self.shop, self.threads = shop, threads
        self.strangers = [self._register() for _ in range(STRANGERS)]

    def order(self, body: dict[str, Any], **headers: str) -> Future[tuple[Any, float]]:
        def ask() -> tuple[Any, float]:
            began = time.monotonic()
            answer = self.shop.http.application.test_client().post("/orders", json=body, headers=headers)
            return answer, time.monotonic() - began

        return self.threads.submit(ask)

    def all_strangers_order(self) -> list[Future[tuple[Any, float]]]:
        return [self.order({**self.shop.draft(), "customer_id": each}) for each in self.strangers]

    def _register(self) -> str:
        details = {"name": "Grace", "email": f"{uuid7().hex}@example.com", "address": "3 Quai"}
        return str(self.shop.http.post("/customers", json=details).json["id"])


@pytest.fixture
def clients(shop: Shop) -> Iterator[Clients]:
    with ThreadPoolExecutor(64) as threads:
        yield Clients(shop, threads)


@contextmanager
def held(shop: Shop) -> Iterator[None]:
    """Somebody holds the shop's customer."""
    with transaction(shop.sessions) as session:
        session.execute(text("SELECT FROM customers WHERE id = :id FOR UPDATE"), {"id": shop.customer["id"]})
        yield


def await_waiting(shop: Shop, count: int) -> None:
    """Until so many transactions wait for a lock."""
    waits = "SELECT count(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    wait_until(lambda: shop.rows(waits)[0].waiting >= count)


def assert_all_placed_soon(answers: list[Future[tuple[Any, float]]]) -> None:
    ended = [each.result(30) for each in answers]
    assert [answer.status_code for answer, _ in ended] == [201] * STRANGERS
    assert max(seconds for _, seconds in ended) < SOON


def test_while_a_customer_is_held_only_his_own_orders_wait(shop: Shop, clients: Clients) -> None:
    with held(shop):
        his = [clients.order(shop.draft())]
        await_waiting(shop, 1)
        his.append(clients.order(shop.draft()))
        assert_all_placed_soon(clients.all_strangers_order())
        assert not any(each.done() for each in his)
    assert [each.result(30)[0].status_code for each in his] == [201, 201]


def test_an_order_whose_customer_stays_held_is_refused_and_nothing_is_stored(shop: Shop, clients: Clients) -> None:
    key = uuid7().hex
    with held(shop):
        answer, seconds = clients.order(shop.draft(), **{"Idempotency-Key": key}).result(30)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert answer.json["detail"] == "Another transaction holds what this request needs; nothing was changed. Try again."
    assert int(answer.headers["Retry-After"]) > 0
    assert 4.0 < seconds < 8.0
    again, _ = clients.order(shop.draft(), **{"Idempotency-Key": key}).result(30)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, None)


def test_however_many_order_for_a_held_customer_strangers_are_served(shop: Shop, clients: Clients) -> None:
    with held(shop):
        his = [clients.order(shop.draft()) for _ in range(30)]
        await_waiting(shop, 4)
        assert_all_placed_soon(clients.all_strangers_order())
    ended = [each.result(30) for each in his]
    assert {answer.status_code for answer, _ in ended} == {201, 503}
    assert sum(answer.status_code == 201 for answer, _ in ended) >= 4


def test_a_customer_who_is_held_hears_of_the_order_he_placed_before(shop: Shop, clients: Clients) -> None:
    key = {"Idempotency-Key": uuid7().hex}
    first, _ = clients.order(shop.draft(), **key).result(30)
    with held(shop):
        again, seconds = clients.order(shop.draft(), **key).result(30)
    assert (again.status_code, again.json["id"], seconds < SOON) == (201, first.json["id"], True)


def test_a_copy_that_is_stuck_elsewhere_keeps_no_stranger_waiting(shop: Shop, clients: Clients) -> None:
    body = {**shop.draft(), "customer_id": UUID(shop.customer["id"])}
    key = uuid7().hex
    with transaction(shop.sessions) as elsewhere:
        stuck, _ = place_order(elsewhere, body, RequestKey("public", key, "d" * 64), "c-1")
        copy = clients.order(shop.draft(), **{"Idempotency-Key": key, "X-Request-Digest": "d" * 64})
        await_waiting(shop, 1)
        assert_all_placed_soon(clients.all_strangers_order())
        assert not copy.done()
    answer, _ = copy.result(30)
    assert (answer.json["id"], answer.headers["Idempotent-Replayed"]) == (str(stuck["id"]), "true")


@pytest.mark.parametrize("change", ["cancel", "move", "resume", "compensate"])
def test_however_many_want_to_change_an_order_that_is_held_strangers_are_served(
    shop: Shop, clients: Clients, change: str
) -> None:
    order = shop.place()
    path, method, body = f"/orders/{order['id']}/{change}", "POST", {"actor": "ada", "reason": "mine"}
    if change == "cancel":
        body = {"reason": "mine"}
    if change == "move":
        path, method, body = f"/orders/{order['id']}/status", "PUT", {"status": "In Transit"}

    def ask() -> int:
        client = shop.http.application.test_client()
        return int(client.open(path, method=method, json=body).status_code)

    with transaction(shop.sessions) as session:
        session.execute(text("SELECT FROM orders WHERE id = :id FOR UPDATE"), {"id": order["id"]})
        asked = [clients.threads.submit(ask) for _ in range(30)]
        await_waiting(shop, 4)
        assert_all_placed_soon(clients.all_strangers_order())
    ended = {each.result(30) for each in asked}
    assert 503 in ended  # who found no place
    assert ended <= {200, 202, 409, 503}
    assert ended != {503}
