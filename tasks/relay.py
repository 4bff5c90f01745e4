"""The relay: moves outbox rows to the broker, as few messages as it can, and removes them once they are confirmed.

Claim, publish, confirm and remove are one transaction, task by task: a crash anywhere leaves the rows, which are then
published again (every step can bear that), and a queue that is full or missing blocks no other. Any number of relays
may work on one database: ``SKIP LOCKED`` shares the rows out.
"""

import json
import select
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from kombu import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from celeryconfig import QUEUE_OF_TASK
from chassis.database import Fault, fault_of, open_database, transaction
from chassis.outbox import MOST_BYTES, MOST_LINES, MOST_ORDERS
from chassis.ready import say_ready
from chassis.settings import Settings
from tasks import topology
from tasks.app import app
from tasks.publisher import BrokerAway, NotConfirmed, Publisher

log = structlog.get_logger()

#: Rows claimed at once for one task.
CLAIM = 500
#: Seconds that a queue rests after it refused messages, and that the relay rests while a server is away.
REST = 1.0
#: Seconds between two complaints about a task that has no queue.
UNKNOWN_REST = 60.0

_WAITING = text("SELECT DISTINCT task FROM outbox")
_CLAIM = text(
    "DELETE FROM outbox WHERE id IN"
    " (SELECT id FROM outbox WHERE task = :task ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)"
    " RETURNING id, links::text AS links, bundle::text AS bundle, alone"
)


@dataclass
class Bundle:
    """Orders that will share one message: at most one per order, kind and number."""

    links: str
    orders: list[Any] = field(default_factory=list)
    keys: set[Any] = field(default_factory=set)
    lines: int = 0
    size: int = 0

    def takes(self, orders: list[Any], keys: set[Any], lines: int, size: int) -> bool:
        """Whether these fit in beside what is there."""
        return (
            len(self.orders) + len(orders) <= MOST_ORDERS
            and self.lines + lines <= MOST_LINES
            and self.size + size <= MOST_BYTES
            and self.keys.isdisjoint(keys)
        )

    def add(self, orders: list[Any], keys: set[Any], lines: int, size: int) -> None:
        """Take them in."""
        self.orders += orders
        self.keys |= keys
        self.lines += lines
        self.size += size


def bundles(rows: Iterable[Any]) -> Iterator[Bundle]:
    """Merge outbox rows of one task, oldest first, into as few messages as the limits allow.

    Only rows with the same remaining links share a message, and a row that is ``alone`` shares with nobody.
    """
    filling: dict[str, Bundle] = {}
    for row in sorted(rows, key=lambda each: each.id):
        orders = _read(row.bundle)
        keys = {_key(order) for order in orders}
        lines = sum(_lines(order) for order in orders)
        fits = (orders, keys, lines, len(row.bundle))
        if row.alone:
            alone = Bundle(row.links)
            alone.add(*fits)
            yield alone
            continue
        current = filling.get(row.links)
        if current is not None and not current.takes(*fits):
            yield filling.pop(row.links)
            current = None
        filling.setdefault(row.links, Bundle(row.links)).add(*fits)
    yield from filling.values()


# A split message may hold anything: whatever it is has to leave, or nothing behind it would.


def _read(stored: str) -> Any:
    """PostgreSQL, and the slower reader, take half of a surrogate pair as well."""
    try:
        return msgspec.json.decode(stored)
    except msgspec.DecodeError:
        return json.loads(stored)


def _key(order: Any) -> Any:
    if not isinstance(order, dict):
        return id(order)
    return tuple(str(order.get(name)) for name in ("order_id", "kind", "no"))


def _lines(order: Any) -> int:
    lines = order.get("lines") if isinstance(order, dict) else None
    return len(lines) if isinstance(lines, list) else 0


class Relay:
    """One database's relay. ``round()`` does what waits; ``run()`` does so until it is asked to stop."""

    def __init__(self, sessions: sessionmaker[Session], publisher: Publisher, settings: Settings) -> None:
        self._sessions = sessions
        self._publisher = publisher
        self._settings = settings
        self._resting: dict[str, float] = {}
        self._more = False
        self._stopping = threading.Event()

    def round(self) -> int:
        """Publish what waits and return the number of messages. Raises BrokerAway and database errors."""
        with self._sessions() as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})  # one round trip, not three
            waiting = session.execute(_WAITING).scalars().all()
        published, self._more = 0, False
        for task in waiting:
            if self._resting.get(task, 0.0) > time.monotonic():
                continue
            if task not in QUEUE_OF_TASK:
                # A relay of the release that knows it will take it; its neighbours need not wait for that.
                log.error("unknown_task", task=task)
                self._resting[task] = time.monotonic() + UNKNOWN_REST
                continue
            try:
                published += self._move(task)
            except NotConfirmed as error:
                log.warning("queue_refuses", queue=QUEUE_OF_TASK[task], task=task, error=str(error))
                self._resting[task] = time.monotonic() + REST
        return published

    def _move(self, task: str) -> int:
        with transaction(self._sessions) as session:
            rows = session.execute(_CLAIM, {"task": task, "most": CLAIM}).all()
            self._more |= len(rows) == CLAIM
            messages = [(each.orders, _read(each.links)) for each in bundles(rows)]
            if messages:
                self._publisher.publish(task, messages)
        return len(messages)

    def run(self, wake_up: socket.socket | None) -> None:
        """Work until ``stop()``. Without a ``wake_up`` socket (another relay has it) the relay polls.

        What is committed during a round or the gap after it has left its datagram in the socket, so an idle relay does
        not look twice.
        """
        while not self._stopping.is_set():
            try:
                published = self.round()
                say_ready(self._settings)
            except BrokerAway as error:
                log.warning("broker_away", error=str(error))
                self._stopping.wait(REST)
                continue
            except Exception as error:
                if fault_of(error) is Fault.OTHER:
                    raise
                log.warning("database_away", error=str(error))
                self._stopping.wait(REST)
                continue
            if published:
                self._stopping.wait(self._settings.relay_gap)
            if not self._more and (wake_up is not None or not published):
                _wait(wake_up, self._settings.relay_poll)
        self._publisher.close()

    def await_topology(self) -> None:
        """Wait for the broker, and make sure that it has our queues. Raises TopologyMissing."""
        while not self._stopping.is_set():
            try:
                with Connection(self._settings.broker_url, connect_timeout=5) as connection:
                    topology.check(connection)
                return
            except OSError as error:
                log.warning("broker_away", error=str(error))
                self._stopping.wait(REST)

    def stop(self) -> None:
        """Finish the round and leave ``run()``."""
        self._stopping.set()


def _wait(wake_up: socket.socket | None, longest: float) -> None:
    """Until somebody says that there is work, or ``longest`` seconds."""
    if wake_up is None:
        select.select([], [], [], longest)
        return
    if select.select([wake_up], [], [], longest)[0]:
        while select.select([wake_up], [], [], 0)[0]:
            wake_up.recv(16)


def _listen(address: str) -> socket.socket | None:
    """The socket on which the relay is woken; None where a neighbour has it, which then is woken for both."""
    host, _, port = address.rpartition(":")
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        log.warning("relay_polls", address=address, error=str(error))
        listener.close()
        return None
    return listener


def run_relay(service: str, settings: Settings) -> None:
    """Run this service's relay until SIGTERM or SIGINT. Raises TopologyMissing where the broker has no queues."""
    publisher = Publisher(app, settings.require("broker_url"))
    relay = Relay(open_database(service, settings), publisher, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: relay.stop())
    relay.await_topology()
    wake_up = _listen(getattr(settings, f"{service}_relay"))
    log.info("relay_ready", service=service)
    relay.run(wake_up)
