"""A service that hangs, behind a gateway that is really served: the others do not feel it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import urllib3

from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from tests.integration.gateway_app.conftest import FakeService

#: How long (seconds) this gateway waits for a service's answer.
TIMEOUT = 2.0


@dataclass
class Gateway:
    """A served gateway with eight threads, and what its clients see."""

    port: int
    pool: urllib3.PoolManager

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any, float]:
        """Status, body and seconds; a refusal has to say when to come again."""
        began = time.monotonic()
        answer = self.pool.request(method, f"http://127.0.0.1:{self.port}{path}", json=body)
        assert answer.status != 503 or int(answer.headers["Retry-After"]) > 0
        return answer.status, json.loads(answer.data), time.monotonic() - began

    def seconds(self, kinds: dict[str, Callable[[], tuple[int, Any, float]]], lasting: float) -> dict[str, list[float]]:
        """How long the successes of each kind took, from two clients each who ask one after the other for so long."""
        took: dict[str, list[float]] = {name: [] for name in kinds}
        until = time.monotonic() + lasting

        def client(name: str) -> None:
            while time.monotonic() < until:
                status, body, seconds = kinds[name]()
                assert status < 300, body
                took[name].append(seconds)

        threads = [threading.Thread(target=client, args=(name,)) for name in kinds for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return took


@pytest.fixture
def delivery() -> Iterator[Any]:
    service = FakeService().start()
    yield service
    service.stop()


@pytest.fixture
def gateway(
    request: pytest.FixtureRequest, valkey: Valkey, sales: Any, inventory: Any, delivery: Any, tmp_path: Path
) -> Iterator[Gateway]:
    """Settings of its own come from the parameter."""
    port = free_port()
    settings = {
        "CONVEYOR_GATEWAY_PORT": str(port),
        "CONVEYOR_GATEWAY_THREADS": "8",
        "CONVEYOR_REDIS_URL": valkey.url(),
        "CONVEYOR_SALES_URL": sales.url,
        "CONVEYOR_INVENTORY_URL": inventory.url,
        "CONVEYOR_DELIVERY_URL": delivery.url,
        "CONVEYOR_UPSTREAM_TIMEOUT": str(TIMEOUT),
        "CONVEYOR_UPSTREAM_SLOW": str(TIMEOUT / 5),
        # As many as there are places in a share of eight threads.
        "CONVEYOR_UPSTREAM_FAILURES": "2",
        **getattr(request, "param", {}),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    with (tmp_path / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "conveyor", "serve", "gateway"]
        process = subprocess.Popen(command, env=inherited | settings, stdout=log, stderr=log)
    gateway = Gateway(port, urllib3.PoolManager(maxsize=32, timeout=30, retries=False))
    deadline = time.monotonic() + 30
    try:
        while not _up(gateway):
            assert time.monotonic() < deadline, (tmp_path / "gateway.log").read_text()
            time.sleep(0.05)
        yield gateway
    finally:
        process.terminate()
        process.wait(20)


def _up(gateway: Gateway) -> bool:
    try:
        return gateway.ask("/health")[0] == 200
    except urllib3.exceptions.HTTPError:
        return False


@dataclass
class Slowness:
    """What clients of inventory get while it hangs: how often which code, and how long the refusals of each took."""

    codes: Counter[str] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=dict)


def hang(inventory: Any) -> threading.Event:
    """From now on inventory takes requests and answers none, until the event is set."""
    release = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        release.wait(30)

    inventory.meddle = wait
    return release


def clients_of_inventory(gateway: Gateway, done: threading.Event, seen: Slowness) -> list[threading.Thread]:
    def client() -> None:
        while not done.is_set():
            _, body, seconds = gateway.ask("/products")
            code = body.get("code", "ok")
            seen.codes[code] += 1
            seen.took.setdefault(code, []).append(seconds)
            done.wait(0.05)

    threads = [threading.Thread(target=client) for _ in range(12)]
    for each in threads:
        each.start()
    return threads


def orders_and_deliveries(gateway: Gateway, lasting: float) -> dict[str, list[float]]:
    order = {"customer_id": "x", "items": []}
    place, look = partial(gateway.ask, "/orders", "POST", order), partial(gateway.ask, "/deliveries/1")
    return gateway.seconds({"orders": place, "deliveries": look}, lasting)


def longest(took: dict[str, list[float]]) -> float:
    return max(max(each) for each in took.values())


def under_a_service_that_hangs(gateway: Gateway, inventory: Any) -> tuple[dict[str, list[float]], Slowness]:
    """Orders and deliveries from the moment on in which inventory begins to hang, for two time-outs and a bit."""
    seen, done, release = Slowness(), threading.Event(), hang(inventory)
    threads = clients_of_inventory(gateway, done, seen)
    try:
        return orders_and_deliveries(gateway, 2.5 * TIMEOUT), seen
    finally:
        done.set()
        release.set()
        inventory.meddle = lambda handler: None
        for each in threads:
            each.join()


def test_while_a_service_hangs_the_others_keep_their_latency_and_its_own_requests_are_refused_at_once(
    gateway: Gateway, inventory: Any
) -> None:
    before = orders_and_deliveries(gateway, 1.0)
    during, seen = under_a_service_that_hangs(gateway, inventory)
    for kind in before:
        ratio = sorted(during[kind])[len(during[kind]) // 2] / sorted(before[kind])[len(before[kind]) // 2]
        print(f"{kind}: median {ratio:.2f} times as long while inventory hangs, the longest {max(during[kind]):.3f} s")
    print(f"inventory: {dict(seen.codes)}")
    assert longest(during) < TIMEOUT / 2
    assert {"upstream_busy", "upstream_circuit_open", "upstream_timeout"} <= seen.codes.keys()
    at_once = [each for code in ("upstream_busy", "upstream_circuit_open") for each in seen.took[code]]
    assert sorted(at_once)[len(at_once) * 95 // 100] < 0.5
    assert seen.codes["upstream_timeout"] <= 4  # two that open the circuit, and a trial every other second
    # All is well again after a trial.
    deadline = time.monotonic() + 10
    while gateway.ask("/products")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {gateway.ask("/products")[0] for _ in range(20)} == {200}


@pytest.mark.parametrize(
    "gateway", [{"CONVEYOR_UPSTREAM_SHARE": "1", "CONVEYOR_UPSTREAM_FAILURES": "1000000"}], indirect=True
)
def test_negative_control_without_share_and_circuit_everybody_waits_for_the_service_that_hangs(
    gateway: Gateway, inventory: Any
) -> None:
    during, _ = under_a_service_that_hangs(gateway, inventory)
    assert longest(during) > TIMEOUT / 2


def test_health_asks_a_service_itself_whatever_its_circuit_says(gateway: Gateway, inventory: Any) -> None:
    release = hang(inventory)
    threads = [threading.Thread(target=gateway.ask, args=("/products",)) for _ in range(2)]
    for each in threads:
        each.start()
    status, body, seconds = gateway.ask("/health")
    assert (status, body["down"], seconds < TIMEOUT) == (503, ["inventory"], True)
    for each in threads:
        each.join()
    assert gateway.ask("/products")[1]["code"] == "upstream_circuit_open"
    release.set()
    inventory.meddle = lambda handler: None
    assert (gateway.ask("/health")[0], gateway.ask("/products")[0]) == (200, 503)
