"""The relay: moves outbox rows to the broker, as few messages as it can, and removes them once they are confirmed.

Claim, publish, confirm and remove are one transaction: a crash anywhere leaves the rows, which are then published again
(every step can bear that). Only rows whose queue has confirmed are removed, so that a queue that is full or missing
blocks no other. Any number of relays may work on one database: ``SKIP LOCKED`` shares the rows out.
"""

import select
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from celeryconfig import QUEUE_OF_TASK, connection_to
from chassis.database import Fault, fault_of, open_database, transaction
from chassis.json_text import read_json
from chassis.ready import say_not_ready, say_ready
from chassis.settings import Settings
from tasks import topology
from tasks.app import app
from tasks.bundles import Bundle, bundles
from tasks.publisher import AWAY, BrokerAway, BrokerBlocked, Outgoing, Publisher

log = structlog.get_logger()

#: Rows claimed at once.
CLAIM = 500
#: Seconds that a queue rests after it refused messages, and that the relay rests while a server is away.
REST = 1.0
#: Seconds between two complaints about a task that has no queue.
UNKNOWN_REST = 60.0

_CLAIM = text(
    "SELECT id, task, links::text AS links, bundle::text AS bundle, alone FROM outbox"
    " WHERE task <> ALL(CAST(:resting AS text[])) ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED"
)
_REMOVE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))")


class Relay:
    """One database's relay. ``round()`` does what waits; ``run()`` does so until it is asked to stop."""

    def __init__(self, sessions: sessionmaker[Session], publisher: Publisher, settings: Settings) -> None:
        self._sessions = sessions
        self._publisher = publisher
        self._settings = settings
        #: Tasks that are left alone, and until when: their queue refused messages, or they have none here.
        self._resting: dict[str, float] = {}
        #: Sent when the broker had an alarm, and not confirmed yet.
        self._on_their_way: Sequence[Bundle] = []
        self._alarm = False
        self._more = False
        self._crowd = False
        self._stopping = threading.Event()

    def round(self) -> int:
        """Publish what waits and return the number of messages. Raises BrokerAway, BrokerBlocked, database errors."""
        now = time.monotonic()
        self._resting = {task: until for task, until in self._resting.items() if until > now}
        if self._on_their_way:
            self._settle()
        return self._move()

    def _settle(self) -> None:
        """Remove what the broker has taken after its alarm."""
        try:
            refused = self._publisher.settle()
        except BrokerAway:
            self._on_their_way = []
            raise
        with transaction(self._sessions) as session:
            self._remove(session, self._on_their_way, refused)
        self._on_their_way = []

    def _remove(self, session: Session, published: Sequence[Bundle], refused: Mapping[str, str]) -> list[Bundle]:
        self._rest(refused)
        taken = [each for each in published if each.queue not in refused]
        session.execute(_REMOVE, {"ids": [row for each in taken for row in each.rows]})
        return taken

    def _move(self) -> int:
        with transaction(self._sessions) as session:
            rows = session.execute(_CLAIM, {"resting": list(self._resting), "most": CLAIM}).all()
            ready = [each for each in bundles(rows) if self._has_queue(each)]
            if ready:
                messages = [Outgoing(each.task, each.orders, read_json(each.links)) for each in ready]
                try:
                    refused = self._publisher.publish(messages)
                except BrokerBlocked as blocked:
                    # No transaction may stand open for as long as an alarm lasts.
                    self._on_their_way = ready[: blocked.sent]
                    raise
                ready = self._remove(session, ready, refused)
        self._more = len(rows) == CLAIM
        self._crowd = sum(len(each.orders) for each in ready) > 1
        return len(ready)

    def _has_queue(self, bundle: Bundle) -> bool:
        if bundle.queue is None and bundle.task not in self._resting:
            # A relay of the release that knows it will take it; its neighbours need not wait for that.
            log.error("unknown_task", task=bundle.task)
            self._resting[bundle.task] = time.monotonic() + UNKNOWN_REST
        return bundle.queue is not None

    def _rest(self, refused: Mapping[str, str]) -> None:
        for queue, why in refused.items():
            log.warning("queue_refuses", queue=queue, error=why)
        until = time.monotonic() + REST
        self._resting |= {task: until for task, queue in QUEUE_OF_TASK.items() if queue in refused}

    def run(self, wake_up: socket.socket | None) -> None:
        """Work until ``stop()``. Without a ``wake_up`` socket (another relay has it) the relay only polls, so that it
        does not halve its neighbour's bundles.

        After a round that moved several orders it pauses, so that more of them come together; one that comes alone is
        followed by no pause. What is committed during a round or a pause has left its datagram in the socket, so an
        idle relay does not look twice.
        """
        while not self._stopping.is_set():
            try:
                if not self.round():
                    self._publisher.check()
                say_ready(self._settings)
                self._alarm = False
            except BrokerBlocked as error:
                if not self._alarm:
                    log.error("broker_alarm", error=str(error))
                self._alarm = True
                self._wait_for(str(error))
                continue
            except BrokerAway as error:
                log.warning("broker_away", error=str(error))
                self._wait_for("the broker is away")
                continue
            except Exception as error:
                if fault_of(error) is Fault.OTHER:
                    raise
                log.warning("database_away", error=str(error))
                self._wait_for("its database is away")
                continue
            if self._crowd:
                self._stopping.wait(self._settings.relay_gap)
            if not self._more:
                _wait(wake_up, self._settings.relay_poll)
        self._publisher.close()

    def _wait_for(self, why: str) -> None:
        say_not_ready(self._settings, why)
        self._stopping.wait(REST)

    def await_topology(self) -> None:
        """Wait for the broker, and make sure that it has our queues. Raises TopologyMissing."""
        while not self._stopping.is_set():
            try:
                with connection_to(self._settings.broker_url) as connection:
                    topology.check(connection)
                return
            except AWAY as error:
                log.warning("broker_away", error=str(error) or type(error).__name__)
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
    # It polls so often that its connection would never count as idle, and be found dead by its next claim only.
    sessions = open_database(service, settings, try_after=settings.relay_poll / 2)
    relay = Relay(sessions, publisher, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: relay.stop())
    relay.await_topology()
    wake_up = _listen(getattr(settings, f"{service}_relay"))
    log.info("relay_ready", service=service)
    relay.run(wake_up)
