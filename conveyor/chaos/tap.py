"""The tap: it hears every message that passes the exchange, and sends copies of them again.

A queue of its own is bound to the exchange beside the real ones. A copy is the message as it was: id, headers, body.
"""

import contextlib
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from kombu import Connection, Consumer, Exchange, Producer, Queue, binding
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from celeryconfig import EXCHANGE, connection_to
from conveyor.broker import work_queues

#: What a broker that is away, or goes away, raises.
AWAY = (OSError, AMQPError, KombuError, RedisError)
#: Messages that are remembered, the newest.
MOST = 20_000
#: A message this far behind the newest counts as old.
OLD = 50
POLL = 0.5


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as it was sent."""

    queue: str
    body: bytes
    headers: dict[str, Any]
    content_type: str
    content_encoding: str
    correlation_id: str | None


class Tap:
    """Listens from ``start()`` to ``stop()``; a broker that goes away is waited for."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard: dict[str, Copy] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="tap", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hear no more, and leave no queue behind."""
        self._stopping.set()
        self._thread.join(10)

    def newest(self, count: int) -> list[Copy]:
        """The messages that passed last."""
        return self._copies()[-count:]

    def old(self, count: int, chance: random.Random) -> list[Copy]:
        """Messages that passed long ago, in any order."""
        copies = self._copies()
        past = copies[:-OLD] or copies
        return chance.sample(past, min(count, len(past)))

    def send_again(self, copies: Sequence[Copy]) -> int:
        """Publish these copies in this order; how many of them the broker has taken, which may be away."""
        sent = 0
        try:
            with Connection(self._url, connect_timeout=3, transport_options={"confirm_publish": True}) as connection:
                producer = Producer(connection.channel(), auto_declare=False)
                for each in copies:
                    with contextlib.suppress(MessageNacked):  # its queue is full
                        _publish(producer, each)
                        sent += 1
        except AWAY:
            return sent
        return sent

    def _copies(self) -> list[Copy]:
        with self._lock:
            return list(self._heard.values())

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hear()
            except AWAY:
                self._stopping.wait(POLL)

    def _hear(self) -> None:
        with connection_to(self._url, connect_timeout=3) as connection:
            exchange = Exchange(EXCHANGE.name, type=EXCHANGE.type, durable=True)
            # By name: in the stand-in nobody who publishes knows that the exchange has patterns.
            bindings = [binding(exchange, routing_key=name) for name in work_queues()]
            queue = Queue("chaos_tap", bindings=bindings, exclusive=True, durable=False, auto_delete=True)
            with Consumer(connection.channel(), [queue], on_message=self._keep, no_ack=True):
                while not self._stopping.is_set():
                    try:
                        connection.drain_events(timeout=POLL)
                    except TimeoutError:
                        continue

    def _keep(self, message: Any) -> None:
        copy = Copy(
            message.delivery_info["routing_key"],
            message.body.encode() if isinstance(message.body, str) else bytes(message.body),
            dict(message.headers),
            message.content_type,
            message.content_encoding,
            message.properties.get("correlation_id"),
        )
        with self._lock:
            self._heard.setdefault(str(copy.headers.get("id")), copy)
            while len(self._heard) > MOST:
                del self._heard[next(iter(self._heard))]


def _publish(producer: Producer, copy: Copy) -> None:
    producer.publish(
        copy.body,
        exchange=EXCHANGE.name,
        routing_key=copy.queue,
        headers=copy.headers,
        content_type=copy.content_type,
        content_encoding=copy.content_encoding,
        correlation_id=copy.correlation_id,
        delivery_mode=2,
        retry=False,
        confirm_timeout=5,
    )
