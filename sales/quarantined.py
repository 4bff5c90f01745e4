"""Reading the quarantine: the messages that nobody could work on. Nothing here changes anything."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Text, cast, select, tuple_
from sqlalchemy.orm import Session

from chassis.causes import without_values
from chassis.notation import moment
from chassis.paging import page, read_cursor, write_cursor
from sales.errors import MessageNotFound
from sales.models import orders, quarantine, quarantine_actions


def quarantined(session: Session, *, settled: bool, limit: int, order_id: UUID | None = None) -> list[dict[str, Any]]:
    """The messages in the quarantine that wait for somebody, or with ``settled`` all of them, newest first; with
    ``order_id`` those that speak of this order."""
    query = select(quarantine).order_by(quarantine.c.last_seen.desc(), quarantine.c.message_id).limit(limit)
    if order_id is not None:
        query = query.where(_about(order_id))
    rows = session.execute(query if settled else query.where(quarantine.c.state == "waiting"))
    return [_without_values(row) for row in rows]


def _without_values(message: Row[Any]) -> dict[str, Any]:
    """A message of the quarantine; what the release before noted of a fault held people's names and addresses."""
    return {**message._mapping, "reason": without_values(message.reason)}


def waiting_messages(session: Session) -> list[str]:
    """The ids of all messages in the quarantine that wait for somebody, oldest first."""
    waiting = select(quarantine.c.message_id).where(quarantine.c.state == "waiting").order_by(quarantine.c.first_seen)
    return list(session.execute(waiting).scalars())


def list_quarantine(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of messages of the quarantine, last seen first, without what they carry: ``{"items", "next_cursor"}``.

    Filters: state, order_id, limit, cursor. Raises Invalid for a cursor that is none.
    """
    columns = [each for each in quarantine.c if each.name not in ("body", "headers")]
    position = (quarantine.c.last_seen.desc(), quarantine.c.message_id.desc())
    query = select(*columns).order_by(*position).limit(filters["limit"] + 1)
    for name in ("state", "order_id"):
        if filters.get(name) is not None:
            query = query.where(quarantine.c[name] == filters[name])
    if filters.get("cursor"):
        seen = tuple_(*read_cursor(filters["cursor"], moment, str))
        query = query.where(tuple_(quarantine.c.last_seen, quarantine.c.message_id) < seen)
    rows = session.execute(query).all()
    found = page(
        rows,
        filters["limit"],
        lambda row: write_cursor(row.last_seen.isoformat(), row.message_id),
        lambda row: len(row.reason),
    )
    return {**found, "items": [_without_values(row) for row in found["items"]]}


def quarantined_message(session: Session, message_id: str) -> Row[Any]:
    """A message in the quarantine, whole. Raises MessageNotFound."""
    if "\0" in message_id:  # no database holds such an id, or can be asked for it
        raise MessageNotFound(message_id)
    row = session.execute(select(quarantine).where(quarantine.c.message_id == message_id)).one_or_none()
    if row is None:
        raise MessageNotFound(message_id)
    return row


def message_in_full(session: Session, message_id: str) -> dict[str, Any]:
    """A message in the quarantine, whole, with what was done with it (``actions``) and those of its orders that need
    attention still (``flagged_orders``). Raises MessageNotFound."""
    message = quarantined_message(session, message_id)
    flagged = select(orders.c.id).where(orders.c.id.in_(orders_of(message)), orders.c.needs_attention)
    return {
        **_without_values(message),
        "actions": actions_on(session, message_id),
        "flagged_orders": sorted(session.execute(flagged).scalars()),
    }


def orders_of(message: Row[Any]) -> list[UUID]:
    """The orders that a message of the quarantine speaks of, as far as it can be read."""
    bundle = message.body.get("bundle") if isinstance(message.body, dict) else None
    named = [each.get("order_id") for each in bundle if isinstance(each, dict)] if isinstance(bundle, list) else []
    readable = {each for each in map(readable_id, named) if each is not None}
    return sorted(readable | ({message.order_id} if message.order_id else set()))


def readable_id(order_id: object) -> UUID | None:
    """An order's id out of a message that may hold anything."""
    try:
        return UUID(order_id) if isinstance(order_id, str) else None
    except ValueError:
        return None


def waiting_about(session: Session, order_id: UUID) -> Any:
    """The newest message in the quarantine that waits and speaks of this order: its id; None for none."""
    query = select(quarantine.c.message_id).where(quarantine.c.state == "waiting", _about(order_id))
    return session.execute(query.order_by(quarantine.c.last_seen.desc()).limit(1)).first()


def _about(order_id: UUID) -> ColumnElement[bool]:
    """The messages of the quarantine that speak of this order."""
    # A message of several orders has no order of its own; few of those wait at a time.
    in_bundle = quarantine.c.order_id.is_(None) & cast(quarantine.c.body, Text).contains(str(order_id))
    return (quarantine.c.order_id == order_id) | in_bundle


def actions_on(session: Session, message_id: str) -> list[Row[Any]]:
    """Who replayed or dropped this message, when and why, oldest first."""
    found = select(quarantine_actions).where(quarantine_actions.c.message_id == message_id)
    return list(session.execute(found.order_by(quarantine_actions.c.id)))
