"""The exchanges and queues: declared by one command before anything else starts, and only checked afterwards."""

import re
from collections.abc import Collection
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue
from kombu.exceptions import InconsistencyError

from celeryconfig import DEAD_EXCHANGE, DELIVERY_LIMIT_BEFORE, EXCHANGE, STAND_IN, dead_queue, task_queues, work_queue
from chassis.errors import ConveyorError

_REFUSAL = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)' in vhost '(?P<vhost>[^']+)'"
    r": received (?P<wanted>.+?) but current is (?P<there>[^\n(]+)"
)
_VALUE = re.compile(r"the value ('[^']*') of type '\w+'")


class TopologyMissing(ConveyorError):
    """The broker has no queues of ours; run ``conveyor topology`` first."""


class TopologyDiffers(ConveyorError):
    """Something of ours is there already, with other arguments."""


def declare(connection: Connection, left: Collection[str] = ()) -> list[str]:
    """Declare every exchange and queue, but for the queues that are left as they are; safe to repeat. Returns the
    queues' names.

    Raises TopologyDiffers, once everything else is declared, and the broker's own errors.
    """
    queues = [queue for queue in our_queues() if queue.name not in left]
    declared: list[Any] = [EXCHANGE, DEAD_EXCHANGE, *queues]
    differences = [said for each in declared if (said := difference(connection, each)) is not None]
    if differences:
        raise TopologyDiffers("; ".join(differences))
    return sorted(queue.name for queue in queues)


def our_queues() -> list[Queue]:
    """Every queue, dead-letter queues first: a queue leads to its own."""
    # Made for this: a worker's own queues are not declared (tasks/app.py).
    dead = [dead_queue(queue.name) for queue in task_queues if not STAND_IN]
    return [*dead, *(work_queue(queue.name) for queue in task_queues)]


def difference(connection: Connection, declared: Exchange | Queue) -> str | None:
    """Declare an exchange or a queue; where one is there with other arguments: what it is and what to do about it."""
    with connection.channel() as channel:  # a refusal takes its channel with it
        try:
            declared(channel).declare()
        except PreconditionFailed as error:
            return _explained(str(error))
    return None


def exists(connection: Connection, name: str) -> bool:
    """Whether the broker has this queue."""
    with connection.channel() as channel:  # a refusal takes its channel with it
        try:
            channel.queue_declare(name, passive=True)
        except NotFound:
            return False
    return True


def is_as_before(connection: Connection, name: str) -> bool:
    """Whether a queue that exists has the arguments that the releases up to 0.2.0 gave it."""
    before = work_queue(name, DELIVERY_LIMIT_BEFORE)
    with connection.channel() as channel:
        try:
            before(channel).queue_declare()
        except PreconditionFailed:
            return False
    return True


def _explained(refusal: str) -> str:
    """What RabbitMQ says about arguments that differ, for people."""
    found = _REFUSAL.search(refusal)
    if found is None:
        return " ".join(refusal.split())
    kind, name = found["kind"], found["name"]
    wanted, there = (_VALUE.sub(r"\1", found[each]).strip("'") for each in ("wanted", "there"))
    ctl = f"rabbitmqctl --vhost {found['vhost']}"
    # Not `--if-empty`: RabbitMQ refuses it for quorum queues, and exits with 0 all the same.
    how = f"once `{ctl} list_queues` shows 0, `{ctl} delete_queue {name}`" if kind == "queue" else "delete it"
    return (
        f"{kind} {name} is there with {found['argument']} {there}, and Conveyor needs {wanted}: {how}, and then "
        "`conveyor topology`"
    )


def check(connection: Connection) -> None:
    """Make sure that the topology was declared. Raises TopologyMissing, naming what is not there."""
    if STAND_IN:
        _check_bindings(connection.default_channel)
        return
    for queue in task_queues:
        for name in (queue.name, f"{queue.name}.dead"):
            if not exists(connection, name):
                raise TopologyMissing(f"queue {name} is missing: run `conveyor topology` first")


def _check_bindings(channel: Any) -> None:
    try:
        bound = {queue for _key, _pattern, queue in channel.get_table(EXCHANGE.name)}
    except InconsistencyError:
        bound = set()
    missing = sorted({queue.name for queue in task_queues} - bound)
    if missing:
        raise TopologyMissing(f"queue {missing[0]} is missing: run `conveyor topology` first")
