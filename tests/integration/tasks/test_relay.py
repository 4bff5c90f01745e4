"""The relay between a real PostgreSQL and a real RabbitMQ: nothing is lost, and a bad queue harms no other."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest
from kombu import Connection
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import enqueue, outbox
from chassis.settings import Settings
from chassis.wake import wake
from conveyor.embedded.rabbitmq import RabbitMQ
from tasks import topology
from tasks.app import app
from tasks.publisher import BrokerAway, Outgoing, Publisher
from tasks.relay import Relay
from tests.integration.pipeline.processes import wait_until

pytestmark = pytest.mark.rabbitmq

CHECK, RESERVE = "inventory.check_availability", "inventory.reserve_stock"


@pytest.fixture
def sessions(sales_sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    with transaction(sales_sessions) as session:
        session.execute(outbox.delete())
    return sales_sessions


@pytest.fixture
def relay(sessions: sessionmaker[Session], broker: str, databases: Settings) -> Iterator[Relay]:
    publisher = Publisher(app, broker)
    yield Relay(sessions, publisher, databases)
    publisher.close()


def send(sessions: sessionmaker[Session], task: str = CHECK, *, orders: int = 1, **options: Any) -> list[str]:
    ids = [str(uuid7()) for _ in range(orders)]
    with transaction(sessions) as session:
        for each in ids:
            order = {"order_id": each, "kind": "place", "no": 0}
            enqueue(session, [{"task": task}, {"task": RESERVE, "args": []}], [order], **options)
    return ids


def received(broker: str, queue: str) -> list[Any]:
    with Connection(broker) as connection, connection.channel() as channel:
        messages = []
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            messages.append(message)
        return messages


def waiting(sessions: sessionmaker[Session]) -> int:
    with transaction(sessions) as session:
        return session.execute(select(func.count()).select_from(outbox)).scalar_one()


def fill(relay: Relay, sessions: sessionmaker[Session], broker: str, rabbitmq: RabbitMQ) -> None:
    """Give the queue of CHECK a limit, and send until a row has to wait."""
    vhost = broker.rsplit("/", 1)[1]
    rabbitmq.rabbitmqctl("set_policy", "-p", vhost, "full", "^inventory_check_queue$", '{"max-length":1}')
    # The limit of a quorum queue is soft: it takes a few more before it begins to refuse.
    for _ in range(50):
        send(sessions, CHECK)
        relay.round()
        if waiting(sessions):
            break


def test_waiting_rows_become_one_message_that_is_a_celery_chain(
    relay: Relay, sessions: sessionmaker[Session], broker: str
) -> None:
    ids = send(sessions, orders=3)
    assert relay.round() == 1
    (message,) = received(broker, "inventory_check_queue")
    (args, _kwargs, embedded) = json.loads(message.body)
    assert [each["order_id"] for each in args[0]] == ids
    assert [link["task"] for link in embedded["chain"]] == [RESERVE]
    assert message.headers["task"] == CHECK
    assert message.properties["delivery_mode"] == 2
    assert waiting(sessions) == 0


def test_what_waits_for_longest_is_claimed_first_and_so_much_of_it(
    relay: Relay, sessions: sessionmaker[Session], broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.relay.CLAIM", 2)
    ids = [send(sessions, alone=True)[0] for _ in range(3)]
    with transaction(sessions) as session:  # the oldest row is the last one on the disk
        session.execute(
            outbox.update().where(outbox.c.id == select(func.min(outbox.c.id)).scalar_subquery()).values(task=CHECK)
        )
    relay.round()
    claimed = [json.loads(each.body)[0][0][0]["order_id"] for each in received(broker, "inventory_check_queue")]
    assert claimed == ids[:2]
    assert waiting(sessions) == 1


def test_rows_whose_queue_is_full_take_no_room_from_others(
    relay: Relay, sessions: sessionmaker[Session], broker: str, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(relay, sessions, broker, rabbitmq)
    monkeypatch.setattr("tasks.relay.CLAIM", 1)
    send(sessions, RESERVE)
    relay.round()
    assert len(received(broker, "stock_reservation_queue")) == 1


def test_rows_stay_when_the_relay_dies_between_publishing_and_removing(
    relay: Relay, sessions: sessionmaker[Session], broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(sessions)
    publish = relay._publisher.publish

    def publish_and_die(*message: Any) -> None:
        publish(*message)
        raise KeyboardInterrupt

    monkeypatch.setattr(relay._publisher, "publish", publish_and_die)
    with pytest.raises(KeyboardInterrupt):
        relay.round()
    assert waiting(sessions) == 1
    monkeypatch.undo()
    relay.round()
    assert len(received(broker, "inventory_check_queue")) == 2
    assert waiting(sessions) == 0


def test_a_missing_queue_keeps_its_rows_and_blocks_no_other(
    relay: Relay, sessions: sessionmaker[Session], broker: str
) -> None:
    with Connection(broker) as connection, connection.channel() as channel:
        channel.queue_delete("inventory_check_queue")
    send(sessions, CHECK)
    send(sessions, RESERVE)
    relay.round()
    assert len(received(broker, "stock_reservation_queue")) == 1
    assert waiting(sessions) == 1


def test_a_full_queue_keeps_its_rows_and_blocks_no_other(
    relay: Relay, sessions: sessionmaker[Session], broker: str, rabbitmq: RabbitMQ
) -> None:
    fill(relay, sessions, broker, rabbitmq)
    send(sessions, RESERVE)
    relay.round()
    assert len(received(broker, "stock_reservation_queue")) == 1
    assert waiting(sessions) == 1


def test_a_queue_that_is_full_no_more_gets_its_rows(
    relay: Relay, sessions: sessionmaker[Session], broker: str, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.relay.REST", 0.0)
    fill(relay, sessions, broker, rabbitmq)
    rabbitmq.rabbitmqctl("clear_policy", "-p", broker.rsplit("/", 1)[1], "full")

    def relayed() -> bool:
        relay.round()
        return waiting(sessions) == 0

    wait_until(relayed, 20)


def test_a_broker_that_is_away_keeps_every_row(sessions: sessionmaker[Session], databases: Settings) -> None:
    relay = Relay(sessions, Publisher(app, "amqp://127.0.0.1:9/nowhere"), databases)
    send(sessions)
    with pytest.raises(BrokerAway):
        relay.round()
    assert waiting(sessions) == 1


def test_a_message_that_nobody_routes_is_refused_and_its_neighbour_is_confirmed(broker: str) -> None:
    with Connection(broker) as connection, connection.channel() as channel:
        channel.queue_delete("delivery_queue")
    messages = [Outgoing(task, [{"order_id": "1"}], []) for task in ("delivery.create_delivery", RESERVE)]
    with closing(Publisher(app, broker)) as publisher:
        assert list(publisher.publish(messages)) == ["delivery_queue"]
        assert len(received(broker, "stock_reservation_queue")) == 1
        assert publisher.publish(messages[1:]) == {}


def test_two_relays_share_the_rows(
    relay: Relay, sessions: sessionmaker[Session], broker: str, databases: Settings
) -> None:
    send(sessions, orders=5, alone=True)
    with transaction(sessions) as session:  # another one is in the middle of its round
        session.execute(select(outbox.c.id).order_by(outbox.c.id).limit(2).with_for_update())
        relay.round()
        assert len(received(broker, "inventory_check_queue")) == 3
    with closing(Publisher(app, broker)) as publisher:
        Relay(sessions, publisher, databases).round()
    assert len(received(broker, "inventory_check_queue")) == 2
    assert waiting(sessions) == 0


class TestTopology:
    def test_declaring_is_safe_to_repeat(self, broker: str) -> None:
        with Connection(broker) as connection:
            assert len(topology.declare(connection)) == 12

    def test_a_broker_without_it_is_named(self, rabbitmq: RabbitMQ) -> None:
        url = rabbitmq.add_vhost("bare")
        with Connection(url) as connection, pytest.raises(topology.TopologyMissing, match="delivery_queue"):
            topology.check(connection)


def test_what_no_step_can_read_leaves_like_everything_else_and_holds_up_nobody(
    relay: Relay, sessions: sessionmaker[Session], broker: str
) -> None:
    strange = [{"order_id": "x" * 300_000}, {"order_id": "half of a pair: \ud800"}, ["no order"]]
    with transaction(sessions) as session:
        for each in strange:
            enqueue(session, [{"task": CHECK}], [each], alone=True)  # type: ignore[list-item]
    send(sessions)
    assert relay.round() == 4
    bundles = [json.loads(each.body)[0][0] for each in received(broker, "inventory_check_queue")]
    assert [each for each in strange if [each] not in bundles] == []
    assert waiting(sessions) == 0


def test_a_task_that_this_release_does_not_know_waits_for_one_that_does_and_holds_up_nobody(
    relay: Relay, sessions: sessionmaker[Session], broker: str
) -> None:
    send(sessions, "inventory.of_tomorrow")
    send(sessions)
    assert relay.round() == 1
    assert len(received(broker, "inventory_check_queue")) == 1
    assert waiting(sessions) == 1


class TestPauses:
    @pytest.fixture
    def start(
        self, sessions: sessionmaker[Session], broker: str, databases: Settings
    ) -> Iterator[Callable[[bool], Callable[[], None]]]:
        """Runs a relay, woken or not, that pauses for long and polls now and then; returns what wakes it."""
        settings = replace(databases, relay_gap=60.0, relay_poll=1.5)
        with ExitStack() as ending:

            def start(woken: bool) -> Callable[[], None]:
                listener = ending.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                listener.bind(("127.0.0.1", 0))
                relay = Relay(sessions, Publisher(app, broker), settings)
                thread = threading.Thread(target=relay.run, args=(listener if woken else None,))
                ending.callback(thread.join)
                ending.callback(relay.stop)
                thread.start()
                return lambda: wake(f"127.0.0.1:{listener.getsockname()[1]}")

            yield start

    def test_an_order_that_comes_alone_is_followed_by_no_pause_and_several_are(
        self, start: Callable[[bool], Callable[[], None]], sessions: sessionmaker[Session]
    ) -> None:
        wake_up = start(True)
        for orders in (1, 1, 2):
            send(sessions, orders=orders)
            wake_up()
            wait_until(lambda: waiting(sessions) == 0, 10)
        send(sessions)
        wake_up()
        time.sleep(0.3)
        assert waiting(sessions) == 1

    def test_a_relay_that_only_stands_by_looks_when_it_polls(
        self, start: Callable[[bool], Callable[[], None]], sessions: sessionmaker[Session]
    ) -> None:
        send(sessions)
        start(False)
        wait_until(lambda: waiting(sessions) == 0, 10)
        send(sessions)
        time.sleep(0.3)
        assert waiting(sessions) == 1
