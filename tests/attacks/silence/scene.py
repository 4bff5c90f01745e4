"""What happens in the network of ``test_silence``: every process talks to every server, and one server goes silent.

A packet to it or from it is dropped: no reset comes, and no acknowledgement.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import urllib3
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chassis.database import Fault, engine_of, fault_of
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tests.integration.pipeline.processes import Pipeline, wait_until

#: Seconds within which a connection has to be given up.
NOTICED_WITHIN = 15.0
WORKERS = {f"worker-{each}" for each in ("sales", "inventory", "delivery")}
RELAYS = {f"relay-{each}" for each in ("sales", "inventory", "delivery")}
WEB = {f"serve-{each}" for each in ("gateway", "sales", "delivery")}


class Stack:
    """Every process at work."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=30), retries=False)
        ports = {name: free_port() for name in ("gateway", "sales", "inventory", "delivery")}
        for name, port in ports.items():
            pipeline.environment |= {f"CONVEYOR_{name.upper()}_PORT": str(port)}
            pipeline.environment |= {f"CONVEYOR_{name.upper()}_URL": f"http://127.0.0.1:{port}"}
        pipeline.environment["CONVEYOR_SWEEP_EVERY"] = "1"
        self.gateway = f"http://127.0.0.1:{ports['gateway']}"
        for service in ("sales", "inventory", "delivery"):
            pipeline.start("worker", service, wait=False)
            pipeline.start("relay", service, wait=False)
        pipeline.start("sweeper", wait=False)
        pipeline.start("quarantine", wait=False)
        for web in ("sales", "inventory", "delivery", "gateway"):
            pipeline.start("serve", web, wait=False)
        pipeline.wait_for_ready()
        self.lamp = pipeline.add_product(1000)

    def order(self, wait: int = 20) -> Any:
        """Through the gateway, so that everybody has a connection to everything."""
        body = {"customer_id": str(self.pipeline.customer), "items": [{"product_id": str(self.lamp), "quantity": 1}]}
        headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}", "Idempotency-Key": str(time.time())}
        answer = self.http.request("POST", f"{self.gateway}/orders", body=json.dumps(body), headers=headers)
        assert answer.status == 201, answer.data
        return answer.json()

    def read_delivery(self, order: Any) -> None:
        answer = self.http.request("GET", f"{self.gateway}/deliveries/order/{order['id']}")
        assert answer.status == 200, answer.data

    def names(self) -> dict[int, str]:
        """The names of our processes, by process id; a child has its parent's."""
        named = {process.pid: name for name, process in self.pipeline.running.items()}
        lines = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout.split("\n")
        parents = dict(map(int, line.split()) for line in lines[1:] if line)
        return {pid: named[parents[pid]] for pid in parents if parents[pid] in named} | named


@pytest.fixture
def stack(pipeline: Pipeline) -> Stack:
    return Stack(pipeline)


def connections(stack: Stack, port: int) -> dict[str, str]:
    """Established connections to this port by our own port, each with whose it is."""
    names = stack.names()
    listing = subprocess.run(
        ["ss", "-tnpH", "state", "established", f"( dport = :{port} )"], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in listing.splitlines():
        owner = re.search(r"pid=(\d+)", line)
        if owner and int(owner[1]) in names:
            found[line.split()[2].rpartition(":")[2]] = names[int(owner[1])]
    return found


@contextmanager
def silent(port: int, only: Iterable[str] = ()) -> Iterator[None]:
    """Every packet to or from the server on this port is lost; of ``only`` some connections, by our own ports."""
    ways = [("--dport", "--sport"), ("--sport", "--dport")]
    ours = [[ours_] for ours_ in only] or [[]]
    rules = [
        ["INPUT", "-p", "tcp", theirs, str(port), *(arg for each in which for arg in (mine, each)), "-j", "DROP"]
        for which in ours
        for theirs, mine in ways
    ]
    for rule in rules:
        subprocess.run(["iptables", "-A", *rule], check=True)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-D", *rule], check=True)


def assert_all_notice(stack: Stack, port: int, *expected: str) -> None:
    """Everybody expected has a connection to this port; once the server is silent they are given up in time."""
    before = connections(stack, port)
    assert set(expected) <= set(before.values()), f"no connection: {set(expected) - set(before.values())}"
    began = time.monotonic()
    gone: dict[str, float] = {}
    with silent(port):
        while len(gone) < len(before) and time.monotonic() - began < 3 * NOTICED_WITHIN:
            now = connections(stack, port)
            gone |= {each: time.monotonic() - began for each in before if each not in now and each not in gone}
            time.sleep(0.1)
    kept = sorted({owner for each, owner in before.items() if each not in gone})
    assert not kept, f"still connected after {3 * NOTICED_WITHIN:g} s: {kept}"
    late = {before[each]: round(seconds, 1) for each, seconds in gone.items() if seconds > NOTICED_WITHIN}
    assert not late, late
    print({before[each]: round(seconds, 1) for each, seconds in gone.items()})


@pytest.mark.timeout(300)
def test_postgresql(stack: Stack, postgres: Postgres) -> None:
    stack.read_delivery(stack.order())
    everybody = (WEB - {"serve-gateway"}) | WORKERS | RELAYS | {"sweeper", "quarantine"}
    with ThreadPoolExecutor() as threads:
        # As every process, command and migration connects.
        waits = threads.submit(fault_of_a_long_statement, postgres.service_url("delivery"))
        wait_until(lambda: postgres.execute("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'"))
        assert_all_notice(stack, postgres.port, *everybody)
        assert waits.result(1) is Fault.AWAY
    wait_until(lambda: _goes_through(stack))


def fault_of_a_long_statement(url: str) -> Fault | None:
    try:
        with engine_of(url, "long").connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SELECT pg_sleep(100)"))
    except DBAPIError as error:
        return fault_of(error)
    return None


#: Seconds after which everything has to be as before where new connections are served at once.
BACK_WITHIN = 30.0
#: Seconds for which a service may call itself ready though it answers no request: a request waits before it is refused.
CREDULOUS = 15.0


@pytest.mark.timeout(300)
def test_postgresql_when_only_the_connections_that_are_there_die(stack: Stack, postgres: Postgres) -> None:
    for _ in range(8):  # several connections of each pool
        stack.read_delivery(stack.order())
    sales = stack.pipeline.environment["CONVEYOR_SALES_URL"]
    dead = connections(stack, postgres.port)
    began = time.monotonic()
    taken: list[Any] = []
    refused: list[float] = []
    believed: list[float] = []
    with silent(postgres.port, dead):
        while len(taken) < 5:
            passed = time.monotonic() - began
            assert passed < BACK_WITHIN, (refused, believed)
            try:
                taken.append(stack.order(wait=0))
            except (AssertionError, urllib3.exceptions.HTTPError):
                refused.append(passed)
                if stack.http.request("GET", f"{sales}/health/ready").status == 200:
                    believed.append(passed)
        left = BACK_WITHIN - (time.monotonic() - began)
        stack.pipeline.wait_for([UUID(each["id"]) for each in taken], left, Pending_Shipment=5)
        print({"refused at": refused, "ready all the same at": believed, "all well after": time.monotonic() - began})
    assert not believed or believed[-1] < CREDULOUS
    assert stack.pipeline.flagged([UUID(each["id"]) for each in taken]) == 0


@pytest.mark.timeout(300)
def test_rabbitmq(stack: Stack, rabbitmq: RabbitMQ) -> None:
    stack.order()
    assert_all_notice(stack, rabbitmq.port, *WORKERS, *RELAYS, "quarantine")
    wait_until(lambda: _goes_through(stack))


@pytest.mark.timeout(300)
def test_valkey(stack: Stack, valkey: Valkey) -> None:
    stack.order()
    assert_all_notice(stack, valkey.port, "serve-gateway", "worker-sales")
    wait_until(lambda: _goes_through(stack))


def _goes_through(stack: Stack) -> bool:
    try:
        order = stack.order()
    except (AssertionError, urllib3.exceptions.HTTPError):
        return False
    stack.pipeline.wait_for([UUID(order["id"])], Pending_Shipment=1)
    return True
