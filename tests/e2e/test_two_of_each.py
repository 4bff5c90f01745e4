"""Two workers of each service, two relays of each database, two processes behind each port: no less right than one."""

import os
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import psutil
import pytest
import urllib3
from uuid_utils.compat import uuid7

from tests.e2e.shop import Shop, each_at_once
from tests.e2e.stack import Stack, until

SERVICES = ("sales", "inventory", "delivery")
WORKERS = [f"worker-{service}{number}" for service in SERVICES for number in ("", "-2")]
CLIENTS, ORDERS_EACH = 16, 20
#: Every tenth product order is for the scarce one.
SCARCE = 8


@pytest.fixture(scope="module")
def doubled(rabbitmq_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    two = dict.fromkeys(("workers", "relays", "web_processes"), "2")
    stack = Stack(tmp_path_factory.mktemp("e2e") / "doubled", embedded_broker="rabbitmq", **two)
    try:
        yield stack.start()
        assert stack.stop() == 0
        assert stack.processes() == []
    finally:
        stack.clean_up()


def test_two_of_everything_lose_double_and_deadlock_nothing(doubled: Stack) -> None:
    with urllib3.PoolManager(maxsize=CLIENTS, timeout=urllib3.Timeout(connect=5, read=60)) as pool:
        shop = Shop(doubled, pool)
        plenty, scarce = [shop.add_product(stock=10_000) for _ in range(3)], shop.add_product(stock=SCARCE)
        products = cycle([*plenty * 3, scarce])
        drafts = [
            [_two_lines(shop, next(products), next(products)) for _ in range(ORDERS_EACH)] for _ in range(CLIENTS)
        ]

        def client(mine: list[dict[str, Any]]) -> list[str]:
            return [_twice(shop, draft) for draft in mine]

        taken = [order for some in each_at_once([lambda mine=mine: client(mine) for mine in drafts]) for order in some]
        # A worker takes what an older one has no hands for; so one that did everything so far is tied.
        for idle in [name for name in WORKERS if not _has_worked(doubled, name)]:
            with doubled.standing_still(_twin(idle)):

                def has_its_turn(idle: str = idle) -> bool:
                    taken.append(_twice(shop, _two_lines(shop, next(products), next(products))))
                    return _has_worked(doubled, idle)

                until(has_its_turn, see=lambda: len(taken))
        outcome = shop.outcome()
        assert len(set(taken)) == len(taken) == sum(outcome.values())
        assert set(outcome) == {"Pending Shipment", "Rejected"}
        stock, ledger, held = shop.invariants(scarce)
        assert (stock, ledger, held) == (0, 0, SCARCE)
    checked = doubled.conveyor("reconcile", "--settled")
    assert checked.returncode == 0, checked.stdout
    for service in SERVICES:
        [(deadlocks,)] = doubled.ask(
            service, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        assert deadlocks == 0


def test_as_many_web_processes_as_cores_have_a_core_each(doubled: Stack) -> None:
    cores = os.sched_getaffinity(0)
    for name in ("gateway", *SERVICES):
        places = [set(each.cpu_affinity()) for each in psutil.Process(doubled.pid(name)).children()]
        assert sorted(places, key=min) == ([{each} for each in sorted(cores)] if len(cores) == 2 else [cores] * 2)


def _twin(worker: str) -> str:
    return worker.removesuffix("-2") if worker.endswith("-2") else f"{worker}-2"


def _has_worked(stack: Stack, worker: str) -> bool:
    return '"step"' in (stack.state / "logs" / f"{worker}.log").read_text()


def _two_lines(shop: Shop, one: str, other: str) -> dict[str, Any]:
    return {"customer_id": shop.customer, "items": [{"product_id": each, "quantity": 1} for each in {one, other}]}


def _twice(shop: Shop, draft: dict[str, Any]) -> str:
    """The request of a client that is not sure: the same order both times, whichever processes answer."""
    key = {"Idempotency_Key": uuid7().hex}
    first, second = (shop.send("POST", "/orders", draft, **key) for _ in range(2))
    assert (first.status, second.status) == (201, 201), (first, second)
    assert first.body["id"] == second.body["id"]
    return str(first.body["id"])
