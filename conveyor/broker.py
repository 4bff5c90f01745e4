"""How many messages wait in the broker's queues, as an operator sees them. Nothing here consumes or declares."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError, NotFound
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from celeryconfig import task_queues
from chassis.errors import ConveyorError
from conveyor.access import is_login, refused_broker, refused_redis
from tasks.topology import difference, is_as_before, our_queues

#: A queue that does not exist.
NOBODY = "conveyor_nobody"


class BrokerDown(ConveyorError):
    """The broker cannot be asked."""


class BrokerRefused(BrokerDown):
    """The broker is there and does not let us in; the message says what to do."""


def is_stand_in(url: str) -> bool:
    """Whether a Valkey stands in for RabbitMQ: it has no dead-letter queues."""
    return url.startswith(("redis://", "rediss://"))


def work_queues() -> list[str]:
    """The queues that the workers consume."""
    return sorted(queue.name for queue in task_queues)


def dead_queues() -> list[str]:
    """The queues behind them, for what could not be delivered."""
    return [f"{name}.dead" for name in work_queues()]


@contextmanager
def reached(url: str, timeout: float = 5.0) -> Iterator[Connection]:
    """A connection to the broker, each of whose answers may take so many seconds. Raises BrokerDown, BrokerRefused."""
    names = ("socket_timeout", "socket_connect_timeout") if is_stand_in(url) else ("read_timeout", "write_timeout")
    options = {"max_retries": 0, **dict.fromkeys(names, timeout)}
    try:
        with Connection(url, connect_timeout=timeout, transport_options=options) as connection:
            connection.connect()
            yield connection
    except (OSError, AMQPError, KombuError, RedisError) as error:
        refused = _refused(url, error)
        if refused is not None:
            raise BrokerRefused(refused) from error
        raise BrokerDown(f"the broker cannot be reached: {error}") from error


def _refused(url: str, error: Exception) -> str | None:
    if is_stand_in(url):
        return refused_redis("broker_url", url) if is_login(error) else None
    return refused_broker(url, str(getattr(error, "reply_text", error)))


def depths(url: str, queues: Iterable[str], timeout: float = 5.0) -> dict[str, int | None]:
    """How many messages wait in each of these queues; None for a queue that does not exist. Raises BrokerDown."""
    with reached(url, timeout) as connection:
        return {name: _depth(connection, name) for name in queues}


def consumers(url: str, queues: Iterable[str], timeout: float = 5.0) -> dict[str, int]:
    """How many workers consume each of these queues that exist; nothing of the stand-in's. Raises BrokerDown."""
    if is_stand_in(url):
        return {}
    with reached(url, timeout) as connection:
        found = {name: _declared(connection, name) for name in queues}
    return {name: int(each.consumer_count) for name, each in found.items() if each is not None}


def has_alarm(url: str, timeout: float = 5.0) -> bool:
    """Whether RabbitMQ takes no messages, since its disk or its memory is full. Raises BrokerDown.

    It says so to who publishes, and to nobody else: so this sends a message to a queue that does not exist.
    """
    if is_stand_in(url):
        return False
    with reached(url, timeout) as connection, connection.channel() as channel:
        answers: list[bool] = []
        connection.connection.on_blocked = lambda _reason: answers.append(True)
        channel.confirm_select()
        channel.events["basic_ack"].add(lambda *_tag: answers.append(False))
        channel.basic_publish(channel.prepare_message(b""), exchange="", routing_key=NOBODY)
        while not answers:
            connection.drain_events(timeout=timeout)
        if answers[0]:
            connection.collect(socket_timeout=1)  # nobody would answer to a polite end
        return answers[0]


def differences(url: str, timeout: float = 5.0) -> list[str]:
    """A sentence for each queue that is there with other arguments than ours. Declares nothing. Raises BrokerDown."""
    if is_stand_in(url):
        return []
    with reached(url, timeout) as connection:
        # A queue that is there is declared once more: that changes nothing, and compares the arguments.
        there = [queue for queue in our_queues() if _depth(connection, queue.name) is not None]
        different = {queue.name: said for queue in there if (said := difference(connection, queue)) is not None}
        old = [name for name in different if is_as_before(connection, name)]
        advice = f"as an older release made them: {', '.join(old)}; `conveyor topology` moves them" if old else None
        return [*([advice] if advice else []), *(said for name, said in different.items() if name not in old)]


def _depth(connection: Connection, name: str) -> int | None:
    declared = _declared(connection, name)
    return None if declared is None else int(declared.message_count)


def _declared(connection: Connection, name: str) -> Any:
    with connection.channel() as channel:  # a passive declare that fails takes its channel with it
        try:
            # In Valkey an empty queue does not exist, so there it is not asked for passively; that declares nothing.
            return channel.queue_declare(queue=name, passive=not is_stand_in(connection.as_uri()))
        except NotFound:
            return None
