"""Workers of an operator's own beside a running stack, and the page that shows them all."""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.e2e.shop import Shop
from tests.e2e.stack import FLOWER_LOGIN, Stack, beside, until

pytestmark = pytest.mark.rabbitmq

QUEUES = {
    "sales": {"inventory_response_queue", "order_status_queue"},
    "inventory": {"inventory_check_queue", "stock_release_queue", "stock_reservation_queue"},
    "delivery": {"delivery_queue"},
}


def flower(stack: Stack, path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    url = f"http://127.0.0.1:{stack.setting('flower_port')}{path}"
    with urllib3.PoolManager(timeout=30, retries=False) as pool:
        return pool.request(method, url, headers=urllib3.make_headers(basic_auth=FLOWER_LOGIN))


def seen_by_flower(stack: Stack) -> dict[str, set[str]]:
    """The queues of each worker that Flower sees, by the worker's name without its host."""
    workers: dict[str, Any] = flower(stack, "/api/workers?refresh=true").json()
    return {
        name.partition("@")[0]: {queue["name"] for queue in about.get("active_queues") or ()}
        for name, about in workers.items()
    }


def test_flower_shows_the_workers_and_their_queues(stack: Stack) -> None:
    assert flower(stack, "/workers").status == 200
    until(lambda: QUEUES.items() <= seen_by_flower(stack).items(), see=lambda: seen_by_flower(stack))


def test_a_worker_that_was_killed_comes_back_under_its_name(stack: Stack) -> None:
    killed = stack.pid("worker-delivery")
    os.kill(killed, signal.SIGKILL)
    until(lambda: stack.pid("worker-delivery") != killed)
    until(lambda: QUEUES["delivery"] <= seen_by_flower(stack).get("delivery", set()), see=lambda: seen_by_flower(stack))
    assert [name for name in seen_by_flower(stack) if name.startswith("delivery")] == ["delivery"]


def test_nobody_shuts_a_worker_down_through_flower(stack: Stack) -> None:
    worker = f"sales@{socket.gethostname()}"
    pid = stack.pid("worker-sales")
    for path in (f"/api/worker/shutdown/{worker}", f"/api/worker/pool/restart/{worker}"):
        assert flower(stack, path, "POST").status == 403
    assert flower(stack, "/workers").status == 200
    assert stack.pid("worker-sales") == pid


def test_the_same_command_twice_on_one_host_is_four_workers(stack: Stack, tmp_path: Path) -> None:
    command = ["-m", "conveyor", "worker", "inventory", "--concurrency", "2"]

    def others() -> set[str]:
        return {name for name in seen_by_flower(stack) if name.startswith("inventory-")}

    first, second = tmp_path / "first", tmp_path / "second"
    with (
        beside(stack, sys.executable, *command, log=first) as one,
        beside(stack, sys.executable, *command, log=second) as two,
    ):
        names = {f"inventory-{each.pid}-{number}" for each in (one, two) for number in (1, 2)}
        until(lambda: others() == names, see=others)
    for log in (first, second):
        assert "worker_died" not in log.read_text()
        assert "RESOURCE_LOCKED" not in log.read_text()


def test_flower_shows_nothing_without_its_login(stack: Stack) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        url = f"http://127.0.0.1:{stack.setting('flower_port')}/workers"
        assert pool.request("GET", url).status == 401


def test_a_queue_is_given_more_workers_while_the_stack_runs(shop: Shop, tmp_path: Path) -> None:
    stack, log = shop.stack, tmp_path / "log"
    queues = {"inventory_check_queue", "stock_reservation_queue"}
    command = ["-m", "conveyor", "worker", "inventory", "--queues", ",".join(queues), "--concurrency", "2"]
    with beside(stack, sys.executable, *command, "--name", "extra", log=log) as workers:
        extra = {f"extra-{number}": queues for number in (1, 2)}
        until(lambda: extra.items() <= seen_by_flower(stack).items(), see=lambda: seen_by_flower(stack))
        product = shop.add_product(stock=1_000)

        def they_have_worked() -> bool:
            shop.place(product)
            return "inventory.reserve_stock" in log.read_text()

        # They take what the stack's own has no room for.
        with stack.standing_still("worker-inventory"):
            until(they_have_worked, see=log.read_text)
    assert workers.returncode == 0
    assert set(shop.outcome()) == {"Pending Shipment"}


def test_a_plain_celery_worker_consumes_its_own_services_queues_only(shop: Shop, tmp_path: Path) -> None:
    stack, name = shop.stack, f"plain@{socket.gethostname()}"
    command = ["-m", "celery", "-A", "tasks.inventory", "worker", "-P", "threads", "-c", "1", "-n", name]
    with beside(stack, sys.executable, *command, log=tmp_path / "log"):

        def active_queues() -> list[dict[str, Any]]:
            inspect = ["-m", "celery", "-A", "tasks.app", "inspect", "active_queues", "--json", "-t", "5", "-d", name]
            with beside(stack, sys.executable, *inspect, log=tmp_path / "inspect") as process:
                process.wait(60)
            answer = (tmp_path / "inspect").read_text()
            return list(json.loads(answer)[name]) if process.returncode == 0 else []

        assert {each["name"] for each in until(active_queues)} == QUEUES["inventory"]
        assert shop.place(shop.add_product(stock=1), prefer="wait=30")["status"] == "Pending Shipment"


def test_a_worker_on_a_broker_without_our_queues_ends_and_says_what_to_do(stack: Stack, tmp_path: Path) -> None:
    url = stack.setting("broker_url")
    login = urllib3.util.parse_url(url).auth
    management = f"http://127.0.0.1:{stack.setting('rabbitmq_management_port')}/api"
    with urllib3.PoolManager(retries=False) as pool:
        headers = urllib3.make_headers(basic_auth=login)
        assert pool.request("PUT", f"{management}/vhosts/empty", headers=headers).status in (201, 204)
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        pool.request("PUT", f"{management}/permissions/empty/conveyor", headers=headers, json=rights)
    empty = url.rpartition("/")[0] + "/empty"
    command = ["-m", "conveyor", "worker", "delivery"]
    with beside(stack, sys.executable, *command, log=tmp_path / "log", CONVEYOR_BROKER_URL=empty) as worker:
        assert worker.wait(60) == 78
    last = (tmp_path / "log").read_text().strip().splitlines()[-1]
    assert "is missing: run `conveyor topology` first" in last
