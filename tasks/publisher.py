"""Publishing several messages at once, and knowing that the broker has them all.

One confirm at a time costs thirteen times as much as confirms drained for a batch (RabbitMQ's own advice: publish a
batch, then wait). A message that no queue takes is returned by the broker, since ``mandatory`` is set: a confirm alone
is also given for a message that went nowhere.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import KombuError
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE, QUEUE_OF_TASK, STAND_IN
from chassis.errors import ConveyorError

log = structlog.get_logger()

#: Seconds within which the broker must have confirmed a batch.
CONFIRM_TIMEOUT = 5.0


class NotConfirmed(ConveyorError):
    """The broker did not take a message: the queue is missing or full. Its neighbours' queues may be fine."""


class BrokerAway(ConveyorError):
    """The broker cannot be reached, or does not confirm in time."""


class Publisher:
    """One connection to the broker, thrown away after any failure."""

    def __init__(self, app: Celery, url: str) -> None:
        self._app = app
        self._url = url
        self._connection: Connection | None = None
        self._channel: Any = None
        self._open: set[int] = set()
        self._tag = 0
        self._refused: str | None = None

    def publish(self, task: str, messages: Sequence[tuple[list[Any], list[Any]]]) -> None:
        """Send these (bundle, remaining links), all for one task. Raises NotConfirmed, BrokerAway: then none counts."""
        try:
            self._connect()
            for bundle, links in messages:
                self._send(task, bundle, links)
            self._await_confirms()
        except (OSError, AMQPError, KombuError) as error:
            self.close()
            raise BrokerAway(str(error) or type(error).__name__) from error
        if self._refused:
            refused = self._refused
            self.close()
            raise NotConfirmed(refused)

    def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=1)
            except (OSError, AMQPError, KombuError) as error:
                log.debug("connection_dropped", error=str(error))

    def _connect(self) -> None:
        if self._channel is not None:
            return
        self._connection = Connection(self._url, connect_timeout=CONFIRM_TIMEOUT)
        self._channel = self._connection.channel()
        self._open, self._tag, self._refused = set(), 0, None
        if not STAND_IN:
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)

    def _send(self, task: str, bundle: list[Any], links: list[Any]) -> None:
        message = self._app.amqp.create_task_message(
            str(uuid7()),
            task,
            args=(bundle,),
            kwargs={},
            chain=list(reversed(links)) or None,
            ignore_result=True,
            argsrepr=_seen_in_flower(bundle),
            kwargsrepr="",
            origin="relay",
        )
        self._tag += 1
        self._open.add(self._tag)
        Producer(self._channel, auto_declare=False).publish(
            message.body,
            exchange=EXCHANGE.name,
            routing_key=QUEUE_OF_TASK[task],
            headers=message.headers,
            serializer="json",
            delivery_mode=2,
            mandatory=True,
            retry=False,
            **message.properties,
        )

    def _await_confirms(self) -> None:
        if STAND_IN:
            return
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._open and self._refused is None:
            left = deadline - time.monotonic()
            if left <= 0 or self._connection is None:
                raise TimeoutError(f"no confirm within {CONFIRM_TIMEOUT} s")
            self._connection.drain_events(timeout=left)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._open -= {each for each in self._open if each <= tag} if multiple else {tag}

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = "the queue refuses messages (it is full)"
        self._on_ack(tag, multiple)

    def _on_return(self, _error: Exception, _exchange: str, routing_key: str, _message: Any) -> None:
        self._refused = f"there is no queue {routing_key}: run `conveyor topology`"


def _seen_in_flower(bundle: list[Any]) -> str:
    # It travels in a header, and the broker closes the connection over headers that fill more than a frame.
    ids = [str(order.get("order_id"))[:36] if isinstance(order, dict) else "?" for order in bundle]
    return f"{len(ids)} orders: {', '.join(ids[:8])}" + (" ..." if len(ids) > 8 else "")
