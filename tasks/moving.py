"""Moves queues that an older release made with other arguments: a queue cannot change those.

Its messages go to a queue beside it and, once it is made anew, back. Each is confirmed there before it is acknowledged
here, and a queue is deleted when it is empty and nobody holds a message of it. So a death at any point loses none: the
next `conveyor topology` goes on where this one stopped. Some messages may then be there twice, as after any crash.

Meanwhile relays keep what is for this queue, and workers let it go.
"""

import time
from collections.abc import Sequence
from typing import Any

import amqp
from amqp.exceptions import ResourceLocked
from kombu import Connection
from kombu.pidbox import Mailbox

from celeryconfig import DELIVERY_LIMIT, EXCHANGE, STAND_IN, task_queues, work_queue
from chassis.errors import ConveyorError
from tasks.app import app
from tasks.intake import LET_GO, LET_GO_FOR, TAKE_AGAIN
from tasks.topology import exists, is_as_before

#: Seconds in which workers have to let a queue go, and in which nothing must come for it to count as empty.
PATIENCE, QUIET = 10.0, 0.5
#: Messages on their way between two queues at once.
HANDFUL = 200
#: Held by whoever moves: two at once would delete what the other has made.
LOCK = "conveyor_topology"

_NOT_OURS = ("x-delivery-count", "x-acquired-count")


class AnotherMoves(ConveyorError):
    """Another `conveyor topology` is moving queues on this broker: try again when it is done."""


class MoveFailed(ConveyorError):
    """A queue could not be moved now; nothing is lost."""


def move_queues(connection: Connection) -> tuple[list[str], list[str]]:
    """Move the queues of ours that are as before. Returns a sentence for each of them, and the queues that had to stay.

    All of them stay while one has workers that do not let it go: of an older release, whose workers would end at the
    new queues as soon as they connected anew, or one that hangs. Raises AnotherMoves, MoveFailed and the broker's own
    errors.
    """
    if STAND_IN:
        return [], []
    with connection.channel() as channel:
        try:
            channel.queue_declare(LOCK, exclusive=True, auto_delete=True)
        except ResourceLocked:
            raise AnotherMoves(AnotherMoves.__doc__ or "") from None
        moves = [each for queue in task_queues if (each := _Move(connection, channel, queue.name)).is_due()]
        busy = _let_go([each for each in moves if each.old])
        if busy:
            for each in moves:
                each.leave()
            why = f"workers of an older release, or one that hangs, consume {', '.join(busy)}"
            told = [f"{each.queue} stays as an older release made it: {why}" for each in moves]
            told.append("`conveyor topology` moves them once those have ended; until then they work as before")
        else:
            told = [each.run() for each in moves]
        channel.queue_delete(LOCK)
    return told, [each.queue for each in moves] if busy else []


def _let_go(moves: Sequence["_Move"]) -> list[str]:
    """Ask workers to let these queues go until nobody holds a message of them. Returns those that somebody keeps."""
    until = time.monotonic() + PATIENCE
    for each in moves:
        each.ask()
    while busy := [each.queue for each in moves if each.consumers()]:
        if time.monotonic() > until:
            return busy
        time.sleep(0.1)
    return []


class _Move:
    """One queue, from wherever an earlier try has stopped."""

    def __init__(self, connection: Connection, channel: Any, queue: str) -> None:
        self.queue = queue
        self.old = exists(connection, queue) and is_as_before(connection, queue)
        self._connection = connection
        self._channel = channel
        self._beside = f"{queue}.moving"
        self._asked = time.monotonic()

    def is_due(self) -> bool:
        """Whether there is something to do."""
        return self.old or exists(self._connection, self._beside)

    def ask(self) -> None:
        """Ask workers to let it go, for a while."""
        self._asked = time.monotonic()
        if self.consumers():
            self._say(LET_GO)

    def consumers(self) -> int:
        """Those that have cancelled and still hold a message count, too."""
        return int(self._channel.queue_declare(self.queue, passive=True).consumer_count)

    def leave(self) -> None:
        """It is as it was before."""
        if self.old:
            self._channel.queue_bind(self.queue, EXCHANGE.name, self.queue)
        self._say(TAKE_AGAIN)

    def run(self) -> str:
        """Returns what was done, for people. Nobody may consume the old queue when this begins."""
        channel, arguments = self._channel, {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
        if self.old:
            # From here on the relays keep what is for it: the broker has nowhere to put it, and says so.
            channel.queue_unbind(self.queue, EXCHANGE.name, self.queue)
            channel.queue_declare(self._beside, durable=True, auto_delete=False, arguments=arguments)
            self._empty(self.queue, self._beside)
            channel.queue_delete(self.queue)
        work_queue(self.queue)(channel).declare()
        moved = self._empty(self._beside, self.queue)
        channel.queue_delete(self._beside)
        self._say(TAKE_AGAIN)
        return f"moved {self.queue}, which an older release had made, with {moved} messages in it"

    def _say(self, command: str) -> None:
        celerys = Mailbox(app.conf.control_exchange, type="fanout")
        celerys(self._connection).abcast(command, {"queue": self.queue})

    def _empty(self, source: str, target: str) -> int:
        """Carry everything over; nobody may have taken anything meanwhile. Raises MoveFailed."""
        carried = 0
        while True:
            with self._connection.channel() as channel:
                carried += _Carrier(self._connection, channel, source, target).carry()
            if source == self.queue and time.monotonic() - self._asked > LET_GO_FOR - PATIENCE and _let_go([self]):
                raise MoveFailed(f"{self.queue} is consumed by a worker that does not let it go: run this again")
            found = self._channel.queue_declare(source, passive=True)
            if not found.message_count and not found.consumer_count:
                return carried


class _Carrier:
    """Carries messages from one queue to another as they are, until nothing has come for a while."""

    def __init__(self, connection: Connection, channel: Any, source: str, target: str) -> None:
        self._connection, self._channel = connection, channel
        self._source, self._target = source, target
        self._taken: list[Any] = []
        self._open: set[int] = set()
        self._sent = 0

    def carry(self) -> int:
        """Returns how many messages it carried. Raises MoveFailed where the target does not take one."""
        channel, connection = self._channel, self._connection
        channel.auto_decode = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_refusal)
        channel.events["basic_return"].add(self._on_refusal)
        channel.basic_qos(0, HANDFUL, False)
        tag = channel.basic_consume(self._source, callback=self._taken.append)
        while self._taken or self._comes():
            handful, self._taken[:] = list(self._taken), []
            for message in handful:
                self._send(message)
            while self._open:
                connection.drain_events(timeout=PATIENCE)
            channel.basic_ack(handful[-1].delivery_tag, multiple=True)
        channel.basic_cancel(tag)
        return self._sent

    def _comes(self) -> bool:
        try:
            while not self._taken:
                self._connection.drain_events(timeout=QUIET)
        except TimeoutError:
            return False
        return True

    def _send(self, message: Any) -> None:
        properties = {name: value for name, value in message.properties.items() if name != "user_id"}
        headers = properties.get("application_headers") or {}
        properties["application_headers"] = {name: each for name, each in headers.items() if name not in _NOT_OURS}
        self._sent += 1
        self._open.add(self._sent)
        copy = amqp.Message(message.body, **properties)
        self._channel.basic_publish(copy, exchange="", routing_key=self._target, mandatory=True)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._open -= {each for each in self._open if each <= tag} if multiple else {tag}

    def _on_refusal(self, *_what: Any) -> None:
        raise MoveFailed(f"{self._target} does not take a message of {self._source}; nothing is lost: run this again")
