"""The exchanges and queues: declared by one command before anything else starts, and only checked afterwards."""

from typing import Any

from amqp.exceptions import NotFound
from kombu import Connection
from kombu.exceptions import InconsistencyError

from celeryconfig import DEAD_EXCHANGE, EXCHANGE, STAND_IN, dead_queue, task_queues
from chassis.errors import ConveyorError


class TopologyMissing(ConveyorError):
    """The broker has no queues of ours; run ``conveyor topology`` first."""


def declare(connection: Connection) -> list[str]:
    """Declare every exchange and queue; safe to repeat. Returns the queues' names. Raises the broker's own errors."""
    declared = []
    with connection.channel() as channel:
        for exchange in (EXCHANGE, DEAD_EXCHANGE):
            exchange(channel).declare()
        for queue in task_queues:
            if not STAND_IN:
                dead_queue(queue.name)(channel).declare()
                declared.append(f"{queue.name}.dead")
            queue(channel).declare()
            declared.append(queue.name)
    return sorted(declared)


def check(connection: Connection) -> None:
    """Make sure that the topology was declared. Raises TopologyMissing, naming what is not there."""
    if STAND_IN:
        _check_bindings(connection.default_channel)
        return
    for queue in task_queues:
        for name in (queue.name, f"{queue.name}.dead"):
            with connection.channel() as channel:
                try:
                    channel.queue_declare(name, passive=True)
                except NotFound:
                    raise TopologyMissing(f"queue {name} is missing: run `conveyor topology` first") from None


def _check_bindings(channel: Any) -> None:
    try:
        bound = {queue for _key, _pattern, queue in channel.get_table(EXCHANGE.name)}
    except InconsistencyError:
        bound = set()
    missing = sorted({queue.name for queue in task_queues} - bound)
    if missing:
        raise TopologyMissing(f"queue {missing[0]} is missing: run `conveyor topology` first")
