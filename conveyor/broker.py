"""How many messages wait in the broker's queues, as an operator sees them. Nothing here consumes or declares."""

from collections.abc import Iterable

from amqp.exceptions import AMQPError, NotFound
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from celeryconfig import task_queues
from chassis.errors import ConveyorError


class BrokerDown(ConveyorError):
    """The broker cannot be asked."""


def is_stand_in(url: str) -> bool:
    """Whether a Valkey stands in for RabbitMQ: it has no dead-letter queues."""
    return url.startswith(("redis://", "rediss://"))


def work_queues() -> list[str]:
    """The queues that the workers consume."""
    return sorted(queue.name for queue in task_queues)


def dead_queues() -> list[str]:
    """The queues behind them, for what could not be delivered."""
    return [f"{name}.dead" for name in work_queues()]


def depths(url: str, queues: Iterable[str], timeout: float = 5.0) -> dict[str, int | None]:
    """How many messages wait in each of these queues; None for a queue that does not exist. Raises BrokerDown."""
    try:
        with Connection(url, connect_timeout=timeout, transport_options={"max_retries": 0}) as connection:
            connection.connect()
            return {name: _depth(connection, name) for name in queues}
    except (OSError, AMQPError, KombuError, RedisError) as error:
        raise BrokerDown(f"the broker cannot be reached: {error}") from error


def _depth(connection: Connection, name: str) -> int | None:
    with connection.channel() as channel:  # a passive declare that fails takes its channel with it
        try:
            # In Valkey an empty queue does not exist, so there it is not asked for passively; that declares nothing.
            declared = channel.queue_declare(queue=name, passive=not is_stand_in(connection.as_uri()))
        except NotFound:
            return None
        return int(declared.message_count)
