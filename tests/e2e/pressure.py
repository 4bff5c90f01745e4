"""A steady stream of orders on a whole stack, servers taken away from under it, and what can be seen afterwards."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import urllib3

from conveyor.bench.cpu import trees
from conveyor.embedded.postgres import DATABASES, Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.e2e.shop import Shop
from tests.e2e.stack import Stack, until


@dataclass(frozen=True)
class Taken:
    """How a request for an order went: the moment it was sent and how long it took, in seconds."""

    at: float
    seconds: float
    status: int
    body: Any
    retry_after: str | None


@dataclass
class Stream:
    """Clients that place orders as long as the block lasts: at a rate (a second), or as fast as they are answered.

    Every twentieth order is cancelled as soon as it was taken.
    """

    shop: Shop
    product: str
    rate: float | None = 5.0
    clients: int = 8
    lines: int = 1
    taken: list[Taken] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def __enter__(self) -> "Stream":
        self._done = threading.Event()
        self._begun = time.monotonic()
        self._turn = iter(range(10**9))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client) for _ in range(self.clients)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()

    def flows(self, seconds: float) -> None:
        """Let so much time pass."""
        self._done.wait(seconds)

    def since(self, moment: float, until_: float = float("inf")) -> list[Taken]:
        """The requests that were sent in this time (of time.monotonic)."""
        return [each for each in self.taken if moment <= each.at < until_]

    def orders(self) -> set[str]:
        """The orders that were answered 201."""
        return {each.body["id"] for each in self.taken if each.status == 201}

    def _client(self) -> None:
        while not self._done.is_set():
            with self._lock:
                turn = next(self._turn)
            if self.rate is not None and self._done.wait(max(0.0, self._begun + turn / self.rate - time.monotonic())):
                return
            self._place(turn)

    def _place(self, turn: int) -> None:
        body = self.shop.draft(self.product)
        body["items"] *= self.lines
        began = time.monotonic()
        try:
            answer = self.shop.send("POST", "/orders", body)
            seconds, retry_after = time.monotonic() - began, answer.headers.get("Retry-After")
            self.taken.append(Taken(began, seconds, answer.status, answer.body, retry_after))
            if answer.status == 201 and turn % 20 == 0:
                self._cancel(answer.body["id"])
            if answer.status == 503 and self.rate is None:
                self._done.wait(0.2)  # a client that hammers on would measure itself
        except urllib3.exceptions.HTTPError as error:
            self.taken.append(Taken(began, time.monotonic() - began, 0, str(error), None))

    def _cancel(self, order_id: str) -> None:
        if self.shop.send("POST", f"/orders/{order_id}/cancel").status == 202:
            self.cancelled.append(order_id)


def percentile(taken: list[Taken], share: float) -> float:
    """How long (seconds) this share of the requests took at most."""
    times = sorted(each.seconds for each in taken)
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0


def server_of(stack: Stack) -> RabbitMQ:
    """The stack's broker, to be taken away and brought back."""
    ports = {name: int(stack.environment[f"CONVEYOR_{name.upper()}"]) for name in (
        "broker_port", "rabbitmq_dist_port", "rabbitmq_epmd_port", "rabbitmq_management_port")}  # fmt: skip
    return RabbitMQ(
        stack.state / "rabbitmq",
        ports["broker_port"],
        dist_port=ports["rabbitmq_dist_port"],
        epmd_port=ports["rabbitmq_epmd_port"],
        management_port=ports["rabbitmq_management_port"],
    )


@contextlib.contextmanager
def broker_away(stack: Stack) -> Iterator[None]:
    """The broker is stopped for the block: connections break, and new ones are refused."""
    rabbitmq = server_of(stack)
    rabbitmq.rabbitmqctl("stop_app")
    try:
        yield
    finally:
        rabbitmq.rabbitmqctl("start_app")


@contextlib.contextmanager
def database_away(stack: Stack, service: str) -> Iterator[None]:
    """One of the three databases takes no connections during the block, and those that there were are ended."""
    server = Postgres(stack.state / "postgres", int(stack.environment["CONVEYOR_POSTGRES_PORT"]))
    database = DATABASES[service]
    server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    try:
        yield
    finally:
        server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


def under_way(stack: Stack) -> int:
    """How many orders have a chain that has not ended."""
    [(count,)] = stack.ask("sales", "SELECT count(*) FROM order_sagas WHERE deadline IS NOT NULL")
    return int(count)


def drained(stack: Stack, seconds: float) -> float:
    """Wait until no chain is under way; how many seconds that took."""
    began = time.monotonic()
    until(lambda: under_way(stack) == 0, seconds, lambda: under_way(stack))
    return time.monotonic() - began


@dataclass(frozen=True)
class Evidence:
    """What a stack's logs, databases and queues say of what has happened to it."""

    #: Chains that the sweeper has sent again because they were lost, and as probes.
    lost: int
    probes: int
    #: The most that any one order was sent again.
    most: int
    #: Steps that were run for an order that they had been run for before.
    repeated_steps: int
    flagged: int
    dead: int

    def harmless(self) -> bool:
        """Nobody has to look at anything."""
        return (self.flagged, self.dead) == (0, 0)


def evidence(stack: Stack) -> Evidence:
    """Look at everything, from the stack's first moment on."""
    why: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for each in _logged(stack.state / "logs" / "sweeper.log", "chain_sent_again"):
        why[each["why"]] += 1
        again[each["order_id"]] += 1
    steps: Counter[tuple[str, str]] = Counter()
    for log in (stack.state / "logs").glob("worker-*.log"):
        # Both chains of an order end with a step of the same name.
        steps.update(
            (each["task"], each["order_id"])
            for each in _logged(log, "step")
            if each["task"] != "sales.update_order_status"
        )
    seen = json.loads(stack.conveyor("status", "--json").stdout)
    dead = seen["quarantine"] + sum(each["dead"] for each in seen["queues"].values())
    repeated = sum(count - 1 for count in steps.values())
    most = max(again.values(), default=0)
    return Evidence(why["lost"], why["probe"], most, repeated, int(seen["needs_attention"]), int(dead))


def _logged(log: Path, event: str) -> Iterator[dict[str, Any]]:
    with log.open() as lines:
        for line in lines:
            if f'"{event}"' in line and (said := json.loads(line))["event"] == event:
                yield said


class Memory:
    """The memory of each process of a stack with all that it has started, by its name, in MiB (PSS), now and then."""

    def __init__(self, stack: Stack, every: float = 5.0) -> None:
        self._stack, self._every = stack, every
        self.samples: list[dict[str, float]] = []

    def __enter__(self) -> "Memory":
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def peaks(self) -> dict[str, int]:
        """The most that each has had."""
        names = sorted({name for sample in self.samples for name in sample})
        return {name: round(max(sample.get(name, 0.0) for sample in self.samples)) for name in names}

    def growth(self, name: str) -> float:
        """By how many MiB a process's median has grown from the second third of the time to the last third."""
        values = [sample[name] for sample in self.samples if name in sample]
        third = len(values) // 3
        middle, last = sorted(values[third : 2 * third]), sorted(values[2 * third :])
        return last[len(last) // 2] - middle[len(middle) // 2]

    def _watch(self) -> None:
        while not self._done.is_set():
            described = self._stack.described()
            assert described is not None
            members = trees(described["processes"])  # the fork server has started nearly all of the others
            self.samples.append({name: sum(map(_mebibytes, pids)) for name, pids in members.items()})
            self._done.wait(self._every)


def _mebibytes(pid: int) -> float:
    """What a process occupies; what it shares with others counts in parts."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return float(psutil.Process(pid).memory_full_info().pss) / 2**20
    return 0.0
