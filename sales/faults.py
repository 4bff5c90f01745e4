"""What could not be worked on is kept where people can read it, and its order is flagged; people replay it or drop it.

Takes a session, never commits. Nothing is ever deleted from the quarantine: a message that was settled stays on record.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from chassis.causes import without_values
from chassis.outbox import Link, enqueue
from sales import saga
from sales.attention import SENTENCES, Cause, scanned_unseen
from sales.errors import AlreadySettled, NotReplayable
from sales.messages import DeadLetter, Fault, FaultRecorded
from sales.models import lock_orders, orders, put_before_people, quarantine, quarantine_actions
from sales.quarantined import orders_of, quarantined_message, readable_id, waiting_about
from sales.timeline import Event, Kind, add_events, last_number, saga_of, saga_sent_again


def record_faults(session: Session, faults: Sequence[Fault]) -> list[FaultRecorded]:
    """A step could not work on these: keep them where people can read them, and flag their orders.

    Answers for each order of the bundle, in their order.
    """
    named = [readable_id(each.order_id) for each in faults]
    known = lock_orders(session, [each for each in named if each is not None], missing_ok=True)
    for fault, order_id in zip(faults, named, strict=True):
        keep_in_quarantine(
            session,
            message_id=fault.message_id,
            order_id=order_id,
            queue=fault.queue,
            task=fault.task,
            body=fault.body,
            headers=fault.headers,
            reason=without_values(fault.reason),  # a worker of the release before tells them
            count=fault.count,
        )
        if order_id in known:
            flag(session, known[order_id], f"fault:{fault.message_id}", Cause.STEP_FAILED, fault.correlation_id)
    return [FaultRecorded(order_id=each.order_id) for each in faults]


def keep_in_quarantine(session: Session, *, message_id: str, count: int = 1, **message: Any) -> None:
    """Put a message before people; one that comes again is counted and waits again."""
    statement = upsert(quarantine).values(message_id=message_id, count=count, **message)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["message_id"],
            set_={
                "count": quarantine.c.count + statement.excluded.count,
                "reason": statement.excluded.reason,
                "last_seen": func.now(),
                "state": "waiting",
                "settled_by": None,
                "settled_at": None,
                "settled_reason": None,
            },
        )
    )


def keep_dead_letter(session: Session, letter: DeadLetter) -> None:
    """The broker could not deliver this: keep it, and flag every order of ours that it speaks of."""
    known = lock_orders(session, letter.order_ids, missing_ok=True)
    there = session.execute(select(quarantine.c.body).where(quarantine.c.message_id == letter.message_id)).first()
    # Ids are given by whoever sends: another message under the same id must not hide behind the first.
    message_id = letter.message_id if there is None or there.body == letter.body else letter.fingerprint
    keep_in_quarantine(
        session,
        message_id=message_id,
        order_id=letter.order_ids[0] if len(letter.order_ids) == 1 else None,
        queue=letter.queue,
        task=letter.task,
        body=letter.body,
        headers=letter.headers,
        reason=letter.reason,
        count=letter.count,
    )
    for row in known.values():
        flag(session, row, f"fault:{message_id}", Cause.DEAD_LETTERED, None)


def replay_message(session: Session, message_id: str, actor: str) -> bool:
    """Send a message of the quarantine once more, on its own, and clear the flags and counts of its orders.

    The flag of an order stays while another message about it waits in the quarantine, or a scan of its cancelled parcel
    for somebody to see to it.
    False, and nothing is done, where it was replayed before. Raises MessageNotFound, NotReplayable, and AlreadySettled
    where it was dropped.
    """
    message = quarantined_message(session, message_id)
    links = _links_of(message)
    known = lock_orders(session, orders_of(message), missing_ok=True)
    if not _settle(session, message_id, "replayed", actor, None):
        return False
    enqueue(session, links, message.body["bundle"], alone=True)
    for row in known.values():
        _clear(session, row, actor)
    return True


def drop_message(session: Session, message_id: str, actor: str, reason: str) -> bool:
    """A message of the quarantine is not needed any more; its orders keep their flags.

    False, and nothing is done, where it was dropped before. Raises MessageNotFound, and AlreadySettled where it was
    replayed.
    """
    quarantined_message(session, message_id)
    return _settle(session, message_id, "dropped", actor, reason)


def flag(session: Session, order: Row[Any], what: str, cause: Cause, correlation_id: str | None) -> None:
    """Somebody has to look at this order. ``what`` tells one event from the next; the same one is noted once."""
    put_before_people(session, order.id)
    number = zlib.crc32(what.encode()) & 0x7FFFFFFF
    noted = Event(order.id, Kind.NEEDS_ATTENTION, number, "conveyor", order.status, order.status)
    add_events(session, [replace(noted, code=cause, reason=SENTENCES[cause], correlation_id=correlation_id)])


def _settle(session: Session, message_id: str, state: str, actor: str, reason: str | None) -> bool:
    settled = session.execute(
        update(quarantine)
        .where(quarantine.c.message_id == message_id, quarantine.c.state == "waiting")
        .values(state=state, settled_by=actor, settled_at=func.now(), settled_reason=reason)
        .returning(quarantine.c.message_id)
    )
    if settled.first() is None:
        now = quarantined_message(session, message_id)
        if now.state != state:
            raise AlreadySettled(message_id, now.state, now.settled_by)
        return False
    done = {"message_id": message_id, "actor": actor, "action": state, "reason": reason}
    session.execute(insert(quarantine_actions).values(done))
    return True


def _links_of(message: Row[Any]) -> list[Link]:
    """What the message asks for and what follows, as signatures. Raises NotReplayable."""
    body = message.body if isinstance(message.body, dict) else {}
    bundle, links = body.get("bundle"), body.get("links")
    if not isinstance(bundle, list) or not isinstance(links, list):
        raise NotReplayable(message.message_id, "it is not a message to a step")
    if not bundle or not all(isinstance(each, dict) for each in bundle):
        raise NotReplayable(message.message_id, "it carries no orders")
    wanted = [message.task, *(each.get("task") if isinstance(each, dict) else None for each in links)]
    for task in wanted:
        if task not in saga.tasks():
            raise NotReplayable(message.message_id, f"there is no task {task}")
    return [saga.link(message.task), *links]


def _clear(session: Session, order: Row[Any], actor: str) -> None:
    under_way = saga_of(session, order.id)
    if under_way is not None and under_way.deadline is not None:
        saga_sent_again(session, order.id, under_way.outbox_id, attempts=0, sends=0)
    other = waiting_about(session, order.id)
    still = other is not None or bool(scanned_unseen(session, [order.id]))
    session.execute(
        update(orders)
        .where(orders.c.id == order.id)
        .values(
            needs_attention=orders.c.needs_attention & still,
            version=orders.c.version + 1,
            updated_at=func.now(),
        )
    )
    number = last_number(session, order.id, Kind.REPLAYED) + 1
    waits = f"message {other.message_id} about it still waits" if other else None
    add_events(session, [Event(order.id, Kind.REPLAYED, number, actor, order.status, order.status, waits)])
