"""What the arguments of our queues are there for, seen on a real RabbitMQ; with each taken out, the harm."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kombu import Connection, Queue

import celeryconfig
from celeryconfig import DELIVERY_LIMIT_BEFORE, EXCHANGE, dead_queue, work_queue
from conveyor.embedded.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

QUEUE = "inventory_check_queue"
#: How often a message is delivered by default from RabbitMQ 4.0 on before it is dropped.
LIMIT_OF_THE_BROKER = 20
#: As a worker makes them in an outage of five minutes that keeps each message for a second.
HAND_BACKS = 300


@dataclass
class Broker:
    """A virtual host with the topology declared, and a channel on it."""

    channel: Any
    vhost: str
    management: Callable[..., Any]

    def without(self, *arguments: str) -> "Broker":
        """The queue declared anew without these of its arguments."""
        declared = next(each for each in celeryconfig.task_queues if each.name == QUEUE)
        left = {name: value for name, value in declared.queue_arguments.items() if name not in arguments}
        assert len(left) == len(declared.queue_arguments) - len(arguments)
        self.channel.queue_delete(QUEUE)
        Queue(QUEUE, EXCHANGE, routing_key=QUEUE, durable=True, queue_arguments=left)(self.channel).declare()
        return self

    def with_limit(self, limit: int) -> "Broker":
        """The queue declared anew with this limit of deliveries."""
        self.channel.queue_delete(QUEUE)
        work_queue(QUEUE, limit)(self.channel).declare()
        return self

    def send(self, body: str = "a message") -> None:
        message = self.channel.prepare_message(body.encode(), properties={"delivery_mode": 2})
        self.channel.basic_publish(message, exchange=EXCHANGE.name, routing_key=QUEUE)

    def take(self, queue: str = QUEUE) -> Any:
        """The next message, as soon as there is one. Raises AssertionError."""
        until = time.monotonic() + 20
        while (message := self.channel.basic_get(queue)) is None:
            assert time.monotonic() < until, f"nothing comes in {queue}"
            time.sleep(0.02)
        return message

    def give_back(self, times: int) -> None:
        """It is delivered so often, and given back each time, as by a worker that dies."""
        for _ in range(times):
            self.channel.basic_reject(self.take().delivery_tag, requeue=True)

    def held(self, queue: str) -> int | None:
        """How many messages the broker has of this queue, those that it is dead-lettering included.

        None where it has not counted them since the queue was made: it does so every few seconds.
        """
        counted: int | None = self.management("GET", f"queues/{self.vhost}/{queue}").get("messages")
        return counted


@pytest.fixture
def queues(broker: str, rabbitmq: RabbitMQ) -> Iterator[Broker]:
    with Connection(broker) as connection, connection.channel() as channel:
        yield Broker(channel, broker.rpartition("/")[2], rabbitmq.management)


class TestTheLimitOfDeliveries:
    def test_is_so_high_that_what_is_handed_back_in_an_outage_is_not_given_up(self, queues: Broker) -> None:
        queues.send()
        queues.send("another message")
        queues.give_back(HAND_BACKS)
        # And it stays before what came after it, which is how the sweeper knows what is lost.
        assert queues.take().body == b"a message"

    def test_control_with_the_limit_of_older_releases_it_is_given_up(self, queues: Broker) -> None:
        queues.with_limit(DELIVERY_LIMIT_BEFORE).send()
        queues.give_back(DELIVERY_LIMIT_BEFORE + 1)
        assert queues.take(f"{QUEUE}.dead").headers["x-death"][0]["reason"] == "delivery_limit"

    def test_control_without_one_the_broker_drops_the_message_or_puts_it_behind_all_others(
        self, queues: Broker
    ) -> None:
        queues.without("x-delivery-limit").send()
        if _has_a_limit(queues):
            queues.give_back(LIMIT_OF_THE_BROKER + 1)
            assert queues.take(f"{QUEUE}.dead").headers["x-death"][0]["reason"] == "delivery_limit"
        else:
            queues.send("another message")
            queues.give_back(1)
            assert queues.take().body == b"another message"


class TestADeadLetterThatNobodyTakes:
    """The queue of dead letters is away: nobody has declared it, or its node is down."""

    def dies(self, queues: Broker) -> None:
        queues.channel.queue_delete(f"{QUEUE}.dead")
        queues.send()
        queues.channel.basic_reject(queues.take().delivery_tag, requeue=False)

    def test_stays_with_the_broker_until_somebody_does(self, queues: Broker) -> None:
        self.dies(queues)
        until = time.monotonic() + 20
        while queues.held(QUEUE) != 1:
            assert time.monotonic() < until, "the dead letter is gone"
            time.sleep(0.1)

    def test_control_without_at_least_once_it_is_lost(self, queues: Broker) -> None:
        self.dies(queues.without("x-dead-letter-strategy"))
        until = time.monotonic() + 20
        while (held := queues.held(QUEUE)) is None:
            assert time.monotonic() < until, "nobody counts"
            time.sleep(0.1)
        dead_queue(QUEUE)(queues.channel).declare()
        assert (held, queues.channel.basic_get(f"{QUEUE}.dead")) == (0, None)


def _has_a_limit(queues: Broker) -> bool:
    return int(queues.management("GET", "overview")["rabbitmq_version"].partition(".")[0]) >= 4
