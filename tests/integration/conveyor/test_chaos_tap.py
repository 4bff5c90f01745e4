"""The tap of a chaos run hears what the relays publish, on either broker, and sends it again as it was."""

import random
from collections.abc import Iterator

import pytest
import redis
from kombu import Connection

from conveyor.broker import depths
from conveyor.chaos.tap import Tap
from conveyor.chaos.victim import wait_for
from tasks.app import app
from tasks.publisher import Outgoing, Publisher
from tasks.topology import declare

QUEUE = "inventory_check_queue"


@pytest.fixture(params=["valkey", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = request.getfixturevalue(request.param)
    if request.param == "rabbitmq":
        yield server.add_vhost("tap")
        server.remove_vhost("tap")
        return
    monkeypatch.setattr("tasks.publisher.STAND_IN", True)
    yield server.url(9)
    with redis.Redis.from_url(server.url(9)) as client:
        client.flushdb()


def test_what_a_relay_publishes_is_heard_and_sent_again(broker: str) -> None:
    with Connection(broker) as connection:
        declare(connection)
    tap, publisher = Tap(broker), Publisher(app, broker)
    tap.start()
    try:
        assert wait_for(lambda: _heard(publisher, tap), 10)
        before = depths(broker, [QUEUE])[QUEUE] or 0
        [copy] = tap.newest(1)
        assert (copy.queue, copy.headers["task"]) == (QUEUE, "inventory.check_availability")
        assert tap.send_again([copy, *tap.old(1, random.Random(1))]) == 2
        assert wait_for(lambda: depths(broker, [QUEUE])[QUEUE] == before + 2, 10)
    finally:
        publisher.close()
        tap.stop()


def _heard(publisher: Publisher, tap: Tap) -> bool:
    publisher.publish([Outgoing("inventory.check_availability", [{"order_id": "a"}], [])])
    return bool(tap.newest(1))
