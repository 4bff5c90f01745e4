"""Reading orders and customers. Nothing here changes anything."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Text, cast, func, select, text, tuple_
from sqlalchemy.orm import Session

from chassis.notation import moment
from chassis.paging import page, read_cursor, write_cursor
from sales.errors import CustomerNotFound, MessageNotFound, OrderNotFound
from sales.models import customers, order_events, order_items, order_sagas, orders, quarantine, quarantine_actions

#: Orders and their lines in one statement.
_ORDERS = text("""
    SELECT id, customer_id, status, reason, total_amount, currency, delivery_address, delivery_status, needs_attention,
        version, created_at, updated_at, (
            SELECT coalesce(json_agg(json_build_object(
                'product_id', product_id, 'product_name', product_name, 'quantity', quantity, 'price', price::text
            ) ORDER BY id), '[]')
            FROM order_items WHERE order_id = orders.id
        ) AS items
    FROM orders WHERE id = ANY(CAST(:order_ids AS uuid[]))
""")


def order_with_items(session: Session | Connection, order_id: UUID) -> dict[str, Any]:
    """An order as its customer sees it, its lines in the order in which they were given. Raises OrderNotFound."""
    (order,) = orders_with_items(session, [order_id])
    if isinstance(order, OrderNotFound):
        raise order
    return order


def orders_with_items(session: Session | Connection, order_ids: Sequence[UUID]) -> list[dict[str, Any] | OrderNotFound]:
    """``order_with_items`` for each of these; one that is not there is an OrderNotFound in its place."""
    asked = [str(each) for each in order_ids]
    rows = session.execute(_ORDERS, {"order_ids": asked}).all()
    reasons = _attention_reasons(session, [row.id for row in rows if row.needs_attention])
    found = {str(row.id): {**row._mapping, "attention_reason": reasons.get(row.id)} for row in rows}
    return [found.get(name) or OrderNotFound(each) for name, each in zip(asked, order_ids, strict=True)]


def with_items(session: Session, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """These orders, each with its lines in the order in which they were given, and why it needs attention."""
    reasons = _attention_reasons(session, [row.id for row in rows if row.needs_attention])
    items: dict[UUID, list[Any]] = {row.id: [] for row in rows}
    found = session.execute(
        select(order_items).where(order_items.c.order_id.in_(list(items))).order_by(order_items.c.id)
    )
    for item in found:
        items[item.order_id].append(item)
    return [{**row._mapping, "items": items[row.id], "attention_reason": reasons.get(row.id)} for row in rows]


def _attention_reasons(session: Session | Connection, order_ids: list[UUID]) -> dict[UUID, str]:
    """Why somebody has to look at these flagged orders: what stopped the chain, else what was noted last."""
    if not order_ids:
        return {}
    noted = (
        select(order_events.c.reason)
        .where(order_events.c.order_id == orders.c.id, order_events.c.kind == "needs_attention")
        .order_by(order_events.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    found = session.execute(
        select(orders.c.id, func.coalesce(order_sagas.c.last_error, noted).label("reason"))
        .join_from(orders, order_sagas, isouter=True)
        .where(orders.c.id.in_(order_ids))
    )
    return {row.id: row.reason for row in found}


def list_orders(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of orders: ``{"items", "next_cursor"}``.

    Filters: status, customer_id, needs_attention, created_after (inclusive), created_before (exclusive), sort
    (``created_at`` or ``-created_at``), limit, cursor. Raises Invalid for a cursor that is none.
    """
    query = select(orders).limit(filters["limit"] + 1)
    for name in ("status", "customer_id", "needs_attention"):
        if filters.get(name) is not None:
            query = query.where(orders.c[name] == filters[name])
    if filters.get("created_after") is not None:
        query = query.where(orders.c.created_at >= filters["created_after"])
    if filters.get("created_before") is not None:
        query = query.where(orders.c.created_at < filters["created_before"])
    newest_first = filters["sort"].startswith("-")
    position = tuple_(orders.c.created_at, orders.c.id)
    if filters.get("cursor"):
        seen = tuple_(*read_cursor(filters["cursor"], moment, UUID))
        query = query.where(position < seen if newest_first else position > seen)
    columns = (orders.c.created_at, orders.c.id)
    query = query.order_by(*(each.desc() if newest_first else each.asc() for each in columns))
    rows = session.execute(query).all()
    listed = page(rows, filters["limit"], lambda row: write_cursor(row.created_at.isoformat(), row.id))
    return {**listed, "items": with_items(session, listed["items"])}


def events_of(session: Session, order_id: UUID) -> list[Row[Any]]:
    """An order's timeline, oldest first. Raises OrderNotFound."""
    found = session.execute(
        select(order_events).where(order_events.c.order_id == order_id).order_by(order_events.c.id)
    ).all()
    if not found:
        raise OrderNotFound(order_id)
    return list(found)


def customer(session: Session, customer_id: UUID) -> Row[Any]:
    """A customer. Raises CustomerNotFound."""
    row = session.execute(select(customers).where(customers.c.id == customer_id)).one_or_none()
    if row is None:
        raise CustomerNotFound(customer_id)
    return row


def quarantined(session: Session, *, settled: bool, limit: int) -> list[Row[Any]]:
    """The messages in the quarantine that wait for somebody, or with ``settled`` all of them, newest first."""
    query = select(quarantine).order_by(quarantine.c.last_seen.desc(), quarantine.c.message_id).limit(limit)
    return list(session.execute(query if settled else query.where(quarantine.c.state == "waiting")))


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
    return page(rows, filters["limit"], lambda row: write_cursor(row.last_seen.isoformat(), row.message_id))


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
        **message._mapping,
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
    """The newest message in the quarantine that waits and speaks of this order: its id and reason; None for none."""
    # A message of several orders has no order of its own; few of those wait at a time.
    in_bundle = quarantine.c.order_id.is_(None) & cast(quarantine.c.body, Text).contains(str(order_id))
    query = (
        select(quarantine.c.message_id, quarantine.c.reason)
        .where(quarantine.c.state == "waiting", (quarantine.c.order_id == order_id) | in_bundle)
        .order_by(quarantine.c.last_seen.desc())
    )
    return session.execute(query.limit(1)).first()


def actions_on(session: Session, message_id: str) -> list[Row[Any]]:
    """Who replayed or dropped this message, when and why, oldest first."""
    found = select(quarantine_actions).where(quarantine_actions.c.message_id == message_id)
    return list(session.execute(found.order_by(quarantine_actions.c.id)))


def list_customers(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of customers, newest first, all or those with this e-mail address (in any spelling of its case)."""
    query = select(customers).order_by(customers.c.id.desc()).limit(filters["limit"] + 1)
    if filters.get("email"):
        query = query.where(func.lower(customers.c.email) == func.lower(filters["email"]))
    if filters.get("cursor"):
        (seen,) = read_cursor(filters["cursor"], UUID)
        query = query.where(customers.c.id < seen)
    return page(session.execute(query).all(), filters["limit"], lambda row: write_cursor(row.id))
