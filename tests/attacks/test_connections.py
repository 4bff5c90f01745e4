"""Connections that cost their owner nothing: bodies that do not come, and connections that ask for nothing."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

from conveyor.embedded.ports import free_port
from tests.attacks.conftest import Attacker, Suffers, attack
from tests.e2e.shop import Shop
from tests.e2e.stack import Stack, until

HEAD = r"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
#: What a body of a thousand bytes has, in seconds (CONVEYOR_BODY_TIME), and an idle connection (CONVEYOR_IDLE_TIME).
BODY_TIME, IDLE_TIME = 10.0, 15.0
#: How much later (seconds) it may be noticed.
LATER = 5.0

doors = pytest.mark.parametrize("door", ["gateway", "sales", "inventory", "delivery"])


def port_of(url: str) -> int:
    port = urllib3.util.parse_url(url).port
    assert port is not None
    return port


def waits(attacker: Attacker, seconds: float) -> None:
    """Let the attacker go on for so long."""
    with pytest.raises(subprocess.TimeoutExpired):
        attacker.process.wait(seconds)


@doors
def test_two_thousand_bodies_that_do_not_come_keep_nobody_waiting(
    stack: Stack, door: str, suffers: Suffers, tmp_path: Path
) -> None:
    url = stack.setting(f"{door}_url")
    with attack("open_connections", 2_000, port_of(url), HEAD + "{", "drip=3", log=tmp_path / "log") as attacker:
        suffers(f"{url}/health/live", 4)
        suffers(f"{stack.setting('gateway_url')}/products", 4)
        waits(attacker, BODY_TIME + LATER - 8)
        fate = attacker.ends()
    assert fate["statuses"] == {"408": 2_000}
    assert fate["closed"] == 2_000


@doors
def test_five_thousand_idle_connections_harm_nobody(stack: Stack, door: str, suffers: Suffers, tmp_path: Path) -> None:
    url = stack.setting(f"{door}_url")
    asked = r"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with attack("open_connections", 5_000, port_of(url), asked, log=tmp_path / "log") as attacker:
        suffers(f"{url}/health/live", 4)
        suffers(f"{stack.setting('gateway_url')}/products", 4)
        waits(attacker, IDLE_TIME + LATER - 8)
        fate = attacker.ends()
    assert fate["statuses"] == {"200": 5_000}
    assert fate["closed"] == 5_000


def test_headers_that_come_byte_by_byte_keep_nobody_waiting(stack: Stack, suffers: Suffers, tmp_path: Path) -> None:
    url = stack.setting("gateway_url")
    with attack("open_connections", 2_000, port_of(url), "GET /", "drip=3", log=tmp_path / "log") as attacker:
        suffers(f"{url}/products", 4)
        waits(attacker, IDLE_TIME + LATER - 4)
        fate = attacker.ends()
    assert fate["closed"] == 2_000


def test_orders_are_taken_while_bodies_do_not_come(stack: Stack, shop: Shop, tmp_path: Path) -> None:
    product = shop.add_product(stock=100)
    port = port_of(stack.setting("gateway_url"))
    with attack("open_connections", 2_000, port, HEAD, log=tmp_path / "log"):
        begun = time.monotonic()
        orders = [shop.place(product, prefer="wait=20") for _each in range(5)]
        assert time.monotonic() - begun < 20
    assert {each["status"] for each in orders} == {"Pending Shipment"}


def test_answers_that_nobody_takes_are_thrown_away(stack: Stack, suffers: Suffers, tmp_path: Path) -> None:
    """The OpenAPI document on each of a hundred connections, and nobody reads it."""
    url = stack.setting("gateway_url")
    web = psutil.Process(stack.pid("gateway")).children()[0]
    before = web.memory_info().rss
    with attack("take_nothing", 100, port_of(url), "/openapi.json", 1, log=tmp_path / "log") as attacker:
        suffers(f"{url}/products", 8)
        assert web.memory_info().rss - before < 64 << 20
        waits(attacker, 40)
        fate = attacker.ends()
    assert fate["cut_off"] == 100
    assert fate["last_after"] < 30 + 10


@pytest.fixture
def poor_gateway(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """The URL of one more gateway before the same services, with 512 file descriptors and no right to more."""
    port = free_port()
    environment = stack.variables() | {"CONVEYOR_GATEWAY_PORT": str(port), "CONVEYOR_GATEWAY_THREADS": "32"}

    def poor() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))

    command = [sys.executable, "-m", "conveyor", "serve", "gateway"]
    log = tmp_path / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, preexec_fn=poor, cwd=tmp_path
        )
    try:
        until(lambda: "listening" in log.read_text(), see=log.read_text)
        assert "few_file_descriptors" in log.read_text()
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("beginning", ["", "GET /", HEAD + "{"], ids=["silent", "half a line", "no body"])
def test_where_descriptors_are_few_the_oldest_make_room(
    poor_gateway: str, suffers: Suffers, beginning: str, tmp_path: Path
) -> None:
    with attack("open_connections", 1_100, port_of(poor_gateway), beginning, log=tmp_path / "log") as attacker:
        suffers(f"{poor_gateway}/products", 6)
        fate = attacker.ends()
    assert fate["closed"] >= 600


def test_the_attackers_may_open_as_many_connections_as_they_need() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > 6_000, "raise this machine's hard limit of file descriptors"
    assert os.cpu_count()
