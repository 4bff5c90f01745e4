"""The step contract: what a worker does with a message, and with everything that can go wrong about it.

A message carries a bundle: one order when it is quiet, as many as were waiting when it is busy. A step works on the
bundle in one transaction, and the message to the next link is an outbox row in that transaction. So commit means "done,
and the next link will be sent"; a crash anywhere repeats the step, and a step that is repeated answers from what it
stored. Nothing is lost and nothing is done twice.

Faults are of four kinds (``chassis.database.Fault``):

- the database cannot serve now: keep the message and wait, then hand it back to the broker;
- somebody holds a row: the orders go on as messages of their own, behind what waits already, as often as it takes;
- a deadlock or a serialization failure: the bundle is done again;
- anything else: a bundle of several is split into messages that are never merged again, so that innocent neighbours
  go on; a single order counts to three and is then recorded as a fault, for people to look at.

A message that kills its worker raises nothing: it comes back redelivered, and is counted before it is tried again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec
import structlog
from celery import Task
from celery.exceptions import Reject
from sqlalchemy.orm import Session

from celeryconfig import QUEUE_OF_TASK
from chassis.attempts import count_attempt, forget_attempts
from chassis.causes import cause_of
from chassis.database import after_commit, storable
from chassis.errors import ConveyorError
from chassis.outbox import Link, enqueue
from chassis.together import RowHeld
from tasks.app import app
from tasks.patience import Patience, sessions_of

log = structlog.get_logger()

#: A bundle that was begun this often and never finished is split.
SPLIT_AFTER = 2
#: A single order that was begun this often and never finished is recorded as a fault.
FAULT_AFTER = 3

RECORD_FAULT = "sales.record_fault"

RawOrder = dict[str, Any]


class Answer(Protocol):
    """What a step says of one order. ``ended`` (optional, default false) takes the order out of the chain."""

    @property
    def order_id(self) -> UUID | str | None: ...


Received = TypeVar("Received")
Handler = Callable[[Session, list[Received]], Sequence[Answer]]


class AnswersMissing(ConveyorError):
    """A step did not answer, in order, for every order that it was given."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message: the task it asks for, its bundle, and the links of the chain that follow."""

    id: str
    task: str
    bundle: list[RawOrder]
    links: list[Link]
    redelivered: bool
    headers: dict[str, Any]

    @property
    def several(self) -> bool:
        """Whether neighbours could suffer from one order of this message."""
        return len(self.bundle) > 1


def step(name: str, receives: type[Received]) -> Callable[[Handler[Received]], Task]:
    """Make a function the consumer of a task: it gets a session and typed orders, and returns an answer for each.

    The function never commits, and never raises for a business refusal: a refusal is an answer. Raises LookupError at
    once where the task has no queue.
    """
    if name not in QUEUE_OF_TASK:
        raise LookupError(f"{name} has no queue. Did you forget to add it to QUEUE_OF_TASK in celeryconfig.py?")
    service = name.partition(".")[0]

    def register(handler: Handler[Received]) -> Task:
        def run(self: Task, *args: Any) -> None:
            work(_take(self, name, args), service, handler, receives)

        run.__doc__ = handler.__doc__
        task: Task = app.task(run, name=name, bind=True)
        return task

    return register


def _take(task: Task, name: str, args: tuple[Any, ...]) -> Message:
    """Read the delivery, and take the rest of the chain off it: Celery would publish the next link outside of the
    step's transaction, and call a step failed whose hand-over failed."""
    request = task.request
    links = list(reversed(request.chain or []))
    request.chain = None
    bundle = args[0] if len(args) == 1 and isinstance(args[0], list) else [{"malformed": list(args)}]
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    headers = {"id": request.id, "origin": request.origin, "root_id": request.root_id}
    return Message(request.id, name, bundle, links, redelivered, headers)


def work(message: Message, service: str, handler: Handler[Received], receives: type[Received]) -> None:
    """Do the message's work, or see to it that somebody else will, or put it before people. Raises Reject."""
    patiently = Patience(message.id, sessions_of(service))
    reason = "its worker died at it"
    count = patiently(partial(count_attempt, message_id=message.id)) if message.redelivered else 0
    while True:
        if message.several and count >= SPLIT_AFTER:
            return patiently(partial(_split, message=message))
        if count >= FAULT_AFTER:
            return _give_up(patiently, message, reason)
        try:
            performing = partial(_perform, message=message, handler=handler, receives=receives, counted=count > 0)
            return patiently.for_rows(performing)
        except Reject:
            raise
        except RowHeld:
            return patiently(partial(_split, message=message))
        except Exception as error:
            reason = cause_of(error)
            log.error("step_failed", task=message.task, message_id=message.id, exc_info=error)
            if message.several:
                return patiently(partial(_split, message=message))
            count = patiently(partial(count_attempt, message_id=message.id, error=reason))


def _perform(
    session: Session, message: Message, handler: Handler[Received], receives: type[Received], counted: bool
) -> None:
    """The step itself: decode, decide, hand over."""
    raw = _one_of_each(message.bundle)
    orders = msgspec.convert(raw, list[receives])  # type: ignore[valid-type]
    answers = handler(session, orders)
    onward = _answered(message.task, raw, answers)
    if message.links and onward:
        enqueue(session, message.links, onward)
    if counted:
        forget_attempts(session, message.id)
    after_commit(session, partial(_log_each, message.task, raw, answers))


def _one_of_each(bundle: list[RawOrder]) -> list[RawOrder]:
    """An order stands once per kind and number: two copies in one bundle would be worked on twice."""
    first: dict[tuple[Any, ...], RawOrder] = {}
    for each in bundle:
        first.setdefault((each.get("order_id"), each.get("kind"), each.get("no")), each)
    return list(first.values())


def _answered(task: str, raw: list[RawOrder], answers: Sequence[Answer]) -> list[RawOrder]:
    """The orders that go on, with what the step said of them. Raises AnswersMissing."""
    if [str(answer.order_id) for answer in answers] != [str(order.get("order_id")) for order in raw]:
        raise AnswersMissing(f"{task} answered for {len(answers)} of {len(raw)} orders, or not in their order")
    onward = []
    for order, answer in zip(raw, answers, strict=True):
        said = msgspec.to_builtins(answer)
        ended = said.pop("ended", False)
        merged = {name: value for name, value in {**order, **said}.items() if value is not None}
        if not ended:
            onward.append(merged)
    return onward


def _log_each(task: str, raw: list[RawOrder], answers: Sequence[Answer]) -> None:
    for order, answer in zip(raw, answers, strict=True):
        log.info(
            "step",
            task=task,
            order_id=order.get("order_id"),
            correlation_id=order.get("correlation_id"),
            outcome=getattr(answer, "outcome", "ok"),
            reason=getattr(answer, "reason", None),
        )


def _split(session: Session, message: Message) -> None:
    """Each order on its own from here on, so that the bad one is found, or who has to wait, and others go on."""
    for order in message.bundle:
        enqueue(session, [_link(message.task), *message.links], [order], alone=True)
    forget_attempts(session, message.id)
    log.warning("bundle_split", task=message.task, message_id=message.id, orders=len(message.bundle))


def _give_up(patiently: Patience, message: Message, reason: str) -> None:
    """Nobody can work on this one; people have to look at it. A fault that cannot be recorded is dead-lettered."""
    if message.task == RECORD_FAULT:
        patiently(partial(forget_attempts, message_id=message.id))
        raise Reject(f"a fault that cannot be recorded: {reason}", requeue=False)
    patiently(partial(_record_fault, message=message, reason=reason))


def _record_fault(session: Session, message: Message, reason: str) -> None:
    """Sales keeps the message in its quarantine and flags the order."""
    order = message.bundle[0] if message.bundle and isinstance(message.bundle[0], dict) else {}
    # What cannot be read is in the body all the same; the fault itself has to be readable.
    known = {
        name: storable(order[name]) if isinstance(order.get(name), str) else None
        for name in ("order_id", "kind", "correlation_id")
    }
    fault = {
        **known,
        "message_id": message.id,
        "queue": QUEUE_OF_TASK[message.task],
        "task": message.task,
        "body": {"bundle": message.bundle, "links": message.links},
        "headers": message.headers,
        "reason": reason,
        "count": FAULT_AFTER,
    }
    enqueue(session, [_link(RECORD_FAULT)], [fault], alone=True)
    forget_attempts(session, message.id)
    log.error("order_given_up", task=message.task, order_id=order.get("order_id"), reason=reason)


def _link(task: str) -> Link:
    return {"task": task, "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
