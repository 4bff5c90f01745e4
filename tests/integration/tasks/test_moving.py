"""Queues that an older release has made are moved with what is in them, whatever happens meanwhile."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import amqp
import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection
from uuid_utils.compat import uuid7

import celeryconfig
from celeryconfig import DELIVERY_LIMIT_BEFORE, EXCHANGE, work_queue
from conveyor.embedded.rabbitmq import RabbitMQ
from tasks import moving, topology
from tests.integration.pipeline.processes import ROOT, wait_until

pytestmark = pytest.mark.rabbitmq

QUEUE = "stock_reservation_queue"
MANY = 500


@dataclass
class Broker:
    """A virtual host on which an older release has made the queues."""

    url: str
    connection: Connection
    channel: Any

    def send(self, bodies: list[bytes], **properties: Any) -> None:
        there = self.waiting()
        for body in bodies:
            message = amqp.Message(body, **{"delivery_mode": 2, **properties})
            self.channel.basic_publish(message, exchange=EXCHANGE.name, routing_key=QUEUE)
        wait_until(lambda: self.waiting() == there + len(bodies))

    def waiting(self, queue: str = QUEUE) -> int:
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def taken(self, queue: str = QUEUE) -> list[Any]:
        """All of its messages."""
        found: list[Any] = []
        with self.connection.channel() as channel:
            channel.auto_decode = False
            channel.basic_consume(queue, no_ack=True, callback=found.append)
            while self.waiting(queue):
                self._drain(0.1)
            self._drain(0.5)
        return found

    def _drain(self, seconds: float) -> None:
        with suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=seconds)

    def is_new(self, queue: str = QUEUE) -> bool:
        with self.connection.channel() as channel:
            try:
                work_queue(queue)(channel).queue_declare()
            except PreconditionFailed:
                return False
        return True

    def move_in_a_process(self, dies: str = "") -> "subprocess.CompletedProcess[str]":
        """``conveyor topology`` in a process that a patch makes die."""
        code = f"import os\n{dies}\nfrom conveyor.cli import main\nmain(['topology'])"
        environment = {**os.environ, "CONVEYOR_BROKER_URL": self.url, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=False
        )


@pytest.fixture
def broker_before(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    name = f"test-{uuid7().hex}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection, connection.channel() as channel:
        with monkeypatch.context() as patched:
            patched.setattr(topology, "work_queue", lambda name: work_queue(name, DELIVERY_LIMIT_BEFORE))
            topology.declare(connection)
        channel.auto_decode = False
        yield Broker(url, connection, channel)
    rabbitmq.remove_vhost(name)


def test_each_is_made_anew_with_every_message_as_it_was_and_that_is_said(broker_before: Broker) -> None:
    broker = broker_before
    sent = [b"%d \xff\x00" % number for number in range(MANY)]
    ordinary = {"content_type": "application/json", "content_encoding": "utf-8", "correlation_id": "c"}
    broker.send(sent, application_headers={"id": "i", "retries": 0}, **ordinary)

    done = broker.move_in_a_process()

    assert done.returncode == 0, done.stderr
    assert f"moved {QUEUE}, which an older release had made, with {MANY} messages in it" in done.stdout
    assert all(broker.is_new(queue.name) for queue in celeryconfig.task_queues)
    taken = broker.taken()
    assert [message.body for message in taken] == sent
    assert taken[0].properties | {"application_headers": None} == ordinary | {
        "delivery_mode": 2,
        "application_headers": None,
    }
    assert {"id": "i", "retries": 0}.items() <= taken[0].headers.items()
    assert not topology.exists(broker.connection, f"{QUEUE}.moving")
    assert "moved" not in broker.move_in_a_process().stdout


#: Where the process dies that moves: in the middle of the way there, before the old queue goes, when it has gone, in
#: the middle of the way back, and before the queue beside goes.
DEATHS = {
    "on the way there": "die_at(moving._Carrier, '_send', 250)",
    "before the old queue goes": "die_at(moving._Move, '_empty', 1, after=True)",
    "between the two": "die_at(moving, 'work_queue', 1, after=True)",
    "on the way back": "die_at(moving._Carrier, '_send', 750)",
    "at the end": "die_at(moving._Move, '_empty', 2, after=True)",
}
DIE_AT = """
from tasks import moving
def die_at(owner, name, count, after=False):
    original, calls = getattr(owner, name), []
    def dying(*args):
        calls.append(args)
        if len(calls) == count and not after:
            os._exit(137)
        result = original(*args)
        if len(calls) == count:
            os._exit(137)
        return result
    setattr(owner, name, dying)
"""


@pytest.mark.parametrize("where", DEATHS)
def test_one_that_dies_in_the_middle_loses_no_message_and_the_next_one_ends_it(
    broker_before: Broker, where: str
) -> None:
    broker = broker_before
    sent = [b"%d" % number for number in range(MANY)]
    broker.send(sent)

    assert broker.move_in_a_process(DIE_AT + DEATHS[where]).returncode == 137
    done = broker.move_in_a_process()

    assert done.returncode == 0, done.stderr
    assert broker.is_new()
    bodies = [message.body for message in broker.taken()]
    assert set(bodies) == set(sent)
    assert len(bodies) <= MANY + 2 * moving.HANDFUL
    assert not topology.exists(broker.connection, f"{QUEUE}.moving")


def test_a_queue_stays_while_somebody_consumes_it_who_does_not_let_it_go(
    broker_before: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_before
    monkeypatch.setattr(moving, "PATIENCE", 0.5)
    held: list[Any] = []
    with broker.connection.channel() as worker:
        worker.basic_consume(QUEUE, callback=held.append)
        told, left = moving.move_queues(broker.connection)
        assert left == [queue.name for queue in celeryconfig.task_queues]
        assert f"{QUEUE} stays as an older release made it: workers of an older release" in "".join(told)
        assert QUEUE not in topology.declare(broker.connection, left)
        broker.channel.basic_publish(amqp.Message(b"goes on arriving"), exchange=EXCHANGE.name, routing_key=QUEUE)
        wait_until(lambda: held or broker.connection.drain_events(timeout=5))
    assert moving.move_queues(broker.connection)[1] == []
    assert [message.body for message in broker.taken()] == [b"goes on arriving"]


def test_who_has_let_it_go_and_still_holds_a_message_is_waited_for(broker_before: Broker) -> None:
    """A worker in the middle of a step: when it dies then, its message comes back."""
    _moves_under_a_worker_that_dies(broker_before, lambda: None)
    assert [message.body for message in broker_before.taken()] == [b"in hand"]


def test_control_without_waiting_for_it_its_message_is_lost(
    broker_before: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unguarded() -> None:
        monkeypatch.setattr(moving, "_let_go", lambda _moves: [])
        monkeypatch.setattr(moving._Move, "_empty", lambda *_queues: 0)

    _moves_under_a_worker_that_dies(broker_before, unguarded)
    assert broker_before.taken() == []


def _moves_under_a_worker_that_dies(broker: Broker, unguarded: Callable[[], None]) -> None:
    held: list[Any] = []
    broker.send([b"in hand"])
    worker = Connection(broker.url)
    channel = worker.channel()
    tag = channel.basic_consume(QUEUE, callback=held.append)
    wait_until(lambda: held or worker.drain_events(timeout=5))
    channel.basic_cancel(tag)
    unguarded()
    dies = threading.Timer(2, worker.collect)
    dies.start()
    with Connection(broker.url) as connection:
        moving.move_queues(connection)
        topology.declare(connection)
    dies.join()


def test_two_at_once_do_not_move_the_same_queues(broker_before: Broker) -> None:
    with Connection(broker_before.url) as other:
        other.channel().queue_declare(moving.LOCK, exclusive=True)
        done = broker_before.move_in_a_process()
    assert done.returncode == 1
    assert "Another `conveyor topology` is moving queues" in done.stderr
    assert len(done.stderr.splitlines()) == 1
