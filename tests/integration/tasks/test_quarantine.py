"""The quarantine between a real RabbitMQ and a real PostgreSQL: every dead letter ends in the table, whatever it is."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kombu import Connection, Producer
from msgspec import structs
from sqlalchemy import Row, select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE
from chassis.database import open_database, transaction
from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.rabbitmq import RabbitMQ
from sales import placing, service
from sales.messages import DeadLetter
from sales.models import order_events, orders, quarantine
from tasks import topology
from tasks.app import app
from tasks.publisher import Outgoing, Publisher
from tasks.quarantine import Quarantine, read_letter

CHECK_QUEUE = "inventory_check_queue"


@pytest.fixture
def sessions(sales_sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    with transaction(sales_sessions) as session:
        session.execute(quarantine.delete())
    return sales_sessions


@contextmanager
def running(sessions: Any, settings: Settings) -> Iterator[None]:
    process = Quarantine(sessions, settings)
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield
    finally:
        process.stop()
        thread.join(15)
    assert not thread.is_alive()


@contextmanager
def worker(broker: str, ready: Path) -> Iterator[None]:
    """A worker of inventory's, as the command line starts it."""
    environment = os.environ | {"CONVEYOR_BROKER_URL": broker, "CONVEYOR_READY_FILE": str(ready)}
    process = subprocess.Popen([sys.executable, "-m", "conveyor", "worker", "inventory"], env=environment)
    try:
        eventually(ready.exists, 30)
        yield
    finally:
        process.kill()
        process.wait(30)


def eventually(condition: Callable[[], Any], seconds: float = 15) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    assert found
    return found


def kept(sessions: sessionmaker[Session]) -> list[Row[Any]]:
    with transaction(sessions) as session:
        return list(session.execute(select(quarantine)))


def place(sessions: sessionmaker[Session]) -> UUID:
    with transaction(sessions) as session:
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.org", "address": "1 Main Street"}
        customer, _ = service.register_customer(session, details, None)
        draft = {"customer_id": customer.id, "items": [{"product_id": uuid7(), "quantity": 1}]}
        order_id: UUID = placing.place_order(session, draft, None, "trace")[0]["id"]
    return order_id


def dead(broker: str) -> int:
    with Connection(broker) as connection, connection.channel() as channel:
        counted: int = channel.queue_declare(f"{CHECK_QUEUE}.dead", passive=True).message_count
        return counted


def publish(broker: str, body: bytes, headers: dict[str, Any] | None = None, **options: Any) -> None:
    """Any bytes into the check queue, as a stranger may."""
    with Connection(broker) as connection, connection.channel() as channel:
        producer = Producer(channel, auto_declare=False)
        sent = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2} | options
        producer.publish(body, exchange=EXCHANGE.name, routing_key=CHECK_QUEUE, headers=headers, **sent)


def reject_all(broker: str, count: int) -> None:
    """What a worker does with a message that it cannot take."""
    with Connection(broker) as connection, connection.channel() as channel:
        for _ in range(count):
            message = eventually(lambda: channel.basic_get(CHECK_QUEUE))
            channel.basic_reject(message.delivery_tag, requeue=False)
    eventually(lambda: dead(broker) == count)


def unknown_task(order_id: UUID) -> bytes:
    bundle = [{"order_id": str(order_id), "kind": "place", "no": 0}]
    chain = [{"task": "sales.last", "args": []}, {"task": "sales.first", "args": []}]
    return json.dumps([[bundle], {}, {"chain": chain}]).encode()


@pytest.mark.rabbitmq
class TestWhatAWorkerCannotTake:
    def test_ends_in_the_quarantine_with_its_order_flagged(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings, tmp_path: Path
    ) -> None:
        order_id, unread = place(sessions), b"no message at all"
        with worker(broker, tmp_path / "worker"):
            publish(broker, unknown_task(order_id), {"task": "inventory.unheard_of", "id": "message-1"})
            publish(broker, unread)
            publish(broker, b"\xff\x00", content_type="application/x-other", content_encoding="binary")
            with running(sessions, replace(databases, broker_url=broker)):
                eventually(lambda: len(kept(sessions)) == 3)
        eventually(lambda: dead(broker) == 0)
        found = {row.message_id: row for row in kept(sessions)}
        unknown = found.pop("message-1")
        assert (unknown.task, unknown.queue, unknown.count) == ("inventory.unheard_of", CHECK_QUEUE, 1)
        assert (unknown.order_id, unknown.state) == (order_id, "waiting")
        assert unknown.body == {
            "bundle": [{"order_id": str(order_id), "kind": "place", "no": 0}],
            "links": [{"task": "sales.first", "args": []}, {"task": "sales.last", "args": []}],
        }
        assert "rejected" in unknown.reason
        assert unknown.headers["x-death"][0]["queue"] == CHECK_QUEUE
        assert sorted(row.body.get("text") or row.body["base64"] for row in found.values()) == ["/wA=", unread.decode()]
        with transaction(sessions) as session:
            assert session.execute(select(orders.c.needs_attention).where(orders.c.id == order_id)).scalar_one()
            noted = session.execute(select(order_events.c.kind).where(order_events.c.order_id == order_id)).scalars()
            assert "needs_attention" in list(noted)


@pytest.mark.rabbitmq
class TestADeadLetter:
    @pytest.mark.parametrize(
        ("body", "headers", "options"),
        [
            (b"", None, {}),
            (b"[]", {"task": "inventory.check_availability", "id": "1"}, {}),
            (b'[[[]], {}, {"chain": 7}]', {"task": "inventory.check_availability", "id": "2"}, {}),
            (b"[" * 5000, {"task": "a", "id": "3"}, {}),
            (b'"\\u0000 \\ud800"', {"task": "nul \0 task", "id": "nul \0 id"}, {}),
            (b'[[[{"order_id": "\\u0000"}]], {}, {}]', {"task": "nul \0 task", "id": "nul \0 id"}, {}),
            (b"[[[NaN]], {}, {}]", {"task": "a", "id": "4"}, {}),
            (b"squeezed", {"compression": "application/x-gzip"}, {}),
            ("größer".encode("latin-1"), None, {"content_encoding": "latin-1"}),
        ],
    )
    def test_of_any_kind_is_kept_and_acknowledged(
        self,
        sessions: sessionmaker[Session],
        broker: str,
        databases: Settings,
        body: bytes,
        headers: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> None:
        publish(broker, body, headers, **options)
        reject_all(broker, 1)
        with running(sessions, replace(databases, broker_url=broker)):
            eventually(lambda: len(kept(sessions)) == 1 and dead(broker) == 0)

    def test_that_postgresql_does_not_take_is_kept_as_bytes(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def with_what_no_json_holds(message: Any) -> DeadLetter:
            return structs.replace(read_letter(message), headers={"not a number": float("nan")})

        monkeypatch.setattr("tasks.quarantine.read_letter", with_what_no_json_holds)
        publish(broker, b"\x00")
        reject_all(broker, 1)
        with running(sessions, replace(databases, broker_url=broker)):
            (row,) = eventually(lambda: kept(sessions))
        assert row.body["base64"] == "AA=="

    def test_that_comes_again_is_counted_and_waits_again(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings
    ) -> None:
        for _ in range(2):
            publish(broker, b"the same")
        reject_all(broker, 2)
        with running(sessions, replace(databases, broker_url=broker)):
            eventually(lambda: [row.count for row in kept(sessions)] == [2])

    def test_flags_every_order_that_it_speaks_of_and_knows(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings
    ) -> None:
        ours = {place(sessions), place(sessions)}
        named = [*ours, uuid7()]
        publish(broker, json.dumps([{"order_id": str(each)} for each in named]).encode())
        reject_all(broker, 1)
        with running(sessions, replace(databases, broker_url=broker)):
            eventually(lambda: kept(sessions))
        with transaction(sessions) as session:
            flagged = session.execute(select(orders.c.id).where(orders.c.id.in_(named), orders.c.needs_attention))
            assert set(flagged.scalars()) == ours

    def test_that_the_relay_sent_keeps_what_replay_needs(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings
    ) -> None:
        bundle = [{"order_id": str(place(sessions))}]
        links = [{"task": "sales.first", "args": []}, {"task": "sales.last", "args": []}]
        publisher = Publisher(app, broker)
        publisher.publish([Outgoing("inventory.check_availability", bundle, links)])
        publisher.close()
        reject_all(broker, 1)
        with running(sessions, replace(databases, broker_url=broker)):
            (row,) = eventually(lambda: kept(sessions))
        assert row.task == "inventory.check_availability"
        assert row.body == {"bundle": bundle, "links": links}

    def test_waits_in_its_queue_while_the_database_is_away(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings
    ) -> None:
        nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
        away = [open_database("sales", replace(databases, sales_database_url=nowhere))] * 2
        publish(broker, b"waits")
        reject_all(broker, 1)
        with running(lambda: (away.pop() if away else sessions)(), replace(databases, broker_url=broker)):
            eventually(lambda: kept(sessions))

    def test_is_not_acknowledged_before_it_is_kept(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(broker, b"waits")
        reject_all(broker, 1)
        tried = threading.Event()

        def fails(_self: Quarantine, _letter: Any) -> None:
            tried.set()
            raise OSError("the connection broke")

        monkeypatch.setattr(Quarantine, "_store", fails)
        with running(sessions, replace(databases, broker_url=broker)):
            assert tried.wait(10)
        eventually(lambda: dead(broker) == 1)


@pytest.mark.rabbitmq
def test_a_lost_connection_is_made_again(
    sessions: sessionmaker[Session], rabbitmq: RabbitMQ, broker: str, databases: Settings
) -> None:
    with running(sessions, replace(databases, broker_url=broker)):
        publish(broker, b"before")
        reject_all_while_consumed(broker)
        eventually(lambda: len(kept(sessions)) == 1)
        rabbitmq.rabbitmqctl("close_all_connections", "the test says so")
        publish(broker, b"after")
        reject_all_while_consumed(broker)
        eventually(lambda: len(kept(sessions)) == 2, 20)


def reject_all_while_consumed(broker: str) -> None:
    with Connection(broker) as connection, connection.channel() as channel:
        message = eventually(lambda: channel.basic_get(CHECK_QUEUE))
        channel.basic_reject(message.delivery_tag, requeue=False)


@pytest.mark.rabbitmq
def test_a_broker_without_our_queues_is_named_at_once(
    sessions: sessionmaker[Session], rabbitmq: RabbitMQ, databases: Settings
) -> None:
    name = f"test-{uuid7().hex}"
    empty = rabbitmq.add_vhost(name)
    with pytest.raises(topology.TopologyMissing, match="conveyor topology"):
        Quarantine(sessions, replace(databases, broker_url=empty)).run()
    rabbitmq.remove_vhost(name)


def test_with_a_stand_in_broker_it_says_so_and_idles_until_told_to_stop(databases: Settings, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    environment = os.environ | {"CONVEYOR_BROKER_URL": "redis://127.0.0.1:1/0", "CONVEYOR_READY_FILE": str(ready)}
    command = [sys.executable, "-m", "conveyor", "quarantine", "run"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        eventually(ready.exists, 30)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0
    assert said.count("no_dead_letters") == 1
