"""Publishing several messages at once, and knowing that the broker has them all.

One confirm at a time costs thirteen times as much as confirms drained for a batch (RabbitMQ's own advice: publish a
batch, then wait). A message that no queue takes is returned by the broker, since ``mandatory`` is set: a confirm alone
is also given for a message that went nowhere.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE, QUEUE_OF_TASK, STAND_IN, broker_heartbeat, connection_to
from chassis.errors import ConveyorError
from chassis.json_text import write_json

log = structlog.get_logger()

#: Seconds within which the broker must have confirmed a batch.
CONFIRM_TIMEOUT = 5.0


#: What a broker that cannot be reached, or is lost, raises.
AWAY = (OSError, AMQPError, KombuError, RedisError)


class Outgoing(NamedTuple):
    """One message to be: the task that is asked for, its bundle, and the links that follow, next one first."""

    task: str
    bundle: list[Any]
    links: list[Any]


class BrokerAway(ConveyorError):
    """The broker cannot be reached, or does not confirm in time."""


class BrokerBlocked(ConveyorError):
    """RabbitMQ has an alarm, since its disk or its memory is full, and takes no messages until it is over.

    ``sent`` is how many of the messages are on their way all the same: it will take those first.
    """

    def __init__(self, sent: int = 0) -> None:
        super().__init__("the broker has an alarm (its disk or its memory is full) and takes no messages")
        self.sent = sent


class Publisher:
    """One connection to the broker, thrown away after any failure and any refusal, and kept through an alarm.

    What is written to a connection that the broker does not read for now is read when the alarm is over, also when the
    connection was closed meanwhile. So nothing is sent a second time, nor on another connection.
    """

    def __init__(self, app: Celery, url: str) -> None:
        self._app = app
        self._url = url
        self._connection: Connection | None = None
        self._channel: Any = None
        #: Which queue each message is for that the broker has not answered for yet, by its number on the channel.
        self._open: dict[int, str] = {}
        self._tag = 0
        self._blocked = False
        self._refused: dict[str, str] = {}

    def publish(self, messages: Sequence[Outgoing]) -> dict[str, str]:
        """Send these and wait until the broker has answered for all. Returns the queues that refused, and why.

        A queue that is missing or full refuses; what was for the others is confirmed. Raises BrokerAway: then nothing
        is. Raises BrokerBlocked: then call ``settle`` for what was sent before anything else is published.
        """
        self._refused = {}
        try:
            self._connect()
            first = self._tag
            if self._blocked:
                self.check()
            for message in messages:
                if self._blocked:
                    raise BrokerBlocked(self._tag - first)
                self._send(message)
            self._await_confirms(self._tag - first)
        except AWAY as error:
            raise self._away(error) from error
        return self._answered()

    def settle(self) -> dict[str, str]:
        """Wait until the broker has answered for what was sent when an alarm began; returns what ``publish`` does.

        Raises BrokerBlocked while the alarm lasts, and BrokerAway where nobody will ever know.
        """
        if self._channel is None:
            raise BrokerAway("the connection was lost while the broker had an alarm")
        self.check()
        try:
            self._await_confirms(0)
        except AWAY as error:
            raise self._away(error) from error
        return self._answered()

    def _answered(self) -> dict[str, str]:
        if self._refused:
            # RabbitMQ remembers for each channel that a queue is full, and may forget to say when it is so no more:
            # not when its limit is taken away (rabbitmq-server#12206, mended only in 2024). A new channel asks anew.
            self.close()
        return self._refused

    def check(self) -> None:
        """For when there is nothing to send: make sure that the broker is there. Raises BrokerAway, BrokerBlocked.

        To be called every second or so: this also tells the broker that we are there.
        """
        try:
            self._connect()
            if STAND_IN:
                self._channel.client.ping()
                return
            assert self._connection is not None
            with contextlib.suppress(TimeoutError):  # it had nothing to say, as nearly always
                self._connection.drain_events(timeout=0.001)
            self._connection.heartbeat_check()
        except AWAY as error:
            raise self._away(error) from error
        if self._blocked:
            raise BrokerBlocked

    def _away(self, error: Exception) -> BrokerAway:
        self.close()
        return BrokerAway(str(error) or type(error).__name__)

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=1)
            except AWAY as error:
                log.debug("connection_dropped", error=str(error))

    def _connect(self) -> None:
        if self._channel is not None:
            return
        self._connection = connection_to(self._url, CONFIRM_TIMEOUT, broker_heartbeat)
        self._channel = self._connection.channel()
        self._open, self._tag, self._blocked = {}, 0, False
        if not STAND_IN:
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)
            self._connection.connection.on_blocked = self._on_blocked
            self._connection.connection.on_unblocked = self._on_unblocked

    def _send(self, message: Outgoing) -> None:
        celerys = self._app.amqp.create_task_message(
            str(uuid7()),
            message.task,
            args=(message.bundle,),
            kwargs={},
            chain=message.links[::-1] or None,
            ignore_result=True,
            argsrepr=_seen_in_flower(message.bundle),
            kwargsrepr="",
            origin="relay",
        )
        prepared = self._channel.prepare_message(
            write_json(celerys.body),
            content_type="application/json",
            content_encoding="utf-8",
            headers=celerys.headers,
            properties={"delivery_mode": 2, **celerys.properties},
        )
        queue = QUEUE_OF_TASK[message.task]
        self._tag += 1
        self._open[self._tag] = queue
        self._channel.basic_publish(prepared, exchange=EXCHANGE.name, routing_key=queue, mandatory=True)

    def _await_confirms(self, sent: int) -> None:
        if STAND_IN:
            self._open.clear()
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._open:
            if self._blocked:
                raise BrokerBlocked(sent)
            if time.monotonic() > deadline or self._connection is None:
                raise TimeoutError(f"no confirm within {CONFIRM_TIMEOUT} s")
            # A short time-out, and again: each heartbeat of the broker's makes the library wait anew for all of it.
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=0.5)

    def _on_blocked(self, _reason: str) -> None:
        self._blocked = True

    def _on_unblocked(self) -> None:
        self._blocked = False

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for each in [each for each in self._open if each <= tag] if multiple else [tag]:
            self._open.pop(each, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for each in [each for each in self._open if each <= tag] if multiple else [tag]:
            self._refused[self._open.pop(each)] = "it refuses messages (it is full)"

    def _on_return(self, _error: Exception, _exchange: str, routing_key: str, _message: Any) -> None:
        self._refused[routing_key] = "there is no such queue: run `conveyor topology`"


def _seen_in_flower(bundle: list[Any]) -> str:
    # It travels in a header, and the broker closes the connection over headers that fill more than a frame.
    ids = [str(order.get("order_id"))[:36] if isinstance(order, dict) else "?" for order in bundle]
    return f"{len(ids)} orders: {', '.join(ids[:8])}" + (" ..." if len(ids) > 8 else "")
