"""Reading orders and customers. Nothing here changes anything."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, func, select, text, tuple_
from sqlalchemy.orm import Session

from chassis.notation import moment, serial
from chassis.paging import page, read_cursor, write_cursor
from sales.attention import SENTENCES, attentions, cause_noted
from sales.errors import CustomerNotFound, OrderNotFound
from sales.models import (
    customer_emails,
    customers,
    folded,
    order_events,
    orders,
)
from sales.status import reason_detail

#: Orders and their lines in one statement.
_ORDERS = text("""
    SELECT id, customer_id, status, reason, total_amount, currency, delivery_address, delivery_status, needs_attention,
        version, created_at, updated_at, (
            SELECT coalesce(json_agg(json_build_object(
                'product_id', product_id, 'sku', sku, 'product_name', product_name, 'quantity', quantity,
                'price', price::text
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
    found = {str(order["id"]): order for order in _explained(session, rows)}
    return [found.get(name) or OrderNotFound(each) for name, each in zip(asked, order_ids, strict=True)]


#: So many of its lines an order has in a list: a hundred orders of a thousand lines would be 12 MB.
LISTED_LINES = 10

_FIRST_ITEMS = text("""
    SELECT first.*
    FROM unnest(CAST(:ids AS uuid[])) AS asked (id) CROSS JOIN LATERAL (
        SELECT order_items.*, count(*) OVER () AS items_count
        FROM order_items WHERE order_id = asked.id ORDER BY id LIMIT :most
    ) AS first
    ORDER BY first.id
""")


def with_first_items(session: Session, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """These orders, each with the first of its lines in the order in which they were given, how many it has in all
    (``items_count``), and why it is what it is."""
    items: dict[UUID, list[Any]] = {row.id: [] for row in rows}
    for item in session.execute(_FIRST_ITEMS, {"ids": list(items), "most": LISTED_LINES}):
        items[item.order_id].append(item)
    explained = []
    for order in _explained(session, rows):
        lines = items[order["id"]]
        explained.append({**order, "items": lines, "items_count": lines[0].items_count if lines else 0})
    return explained


def _explained(session: Session | Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """These orders, each with why it is what it is, and why it needs attention, in words: None where it is not so."""
    flagged = attentions(session, [row.id for row in rows if row.needs_attention])
    details = _reason_details(session, [row.id for row in rows if row.reason])
    explained = []
    for row in rows:
        attention = flagged.get(row.id)
        why = {"attention": attention, "attention_reason": attention and attention.detail}
        explained.append({**row._mapping, "reason_detail": reason_detail(row.reason, details.get(row.id)), **why})
    return explained


_REASON_DETAILS = text(
    "SELECT DISTINCT ON (order_id) order_id, reason FROM order_events WHERE order_id = ANY(CAST(:ids AS uuid[]))"
    " AND kind IN ('rejected', 'cancel_requested', 'compensate_requested') ORDER BY order_id, id DESC"
)


def _reason_details(session: Session | Connection, order_ids: list[UUID]) -> dict[UUID, str]:
    """What was noted when these orders were rejected, or asked to be cancelled."""
    if not order_ids:
        return {}
    return {row.order_id: row.reason for row in session.execute(_REASON_DETAILS, {"ids": order_ids})}


def list_orders(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of orders, each with the first of its lines: ``{"items", "next_cursor"}``.

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
    return {**listed, "items": with_first_items(session, listed["items"])}


def list_events(session: Session, order_id: UUID, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of an order's timeline, oldest first: ``{"items", "next_cursor"}``. Raises OrderNotFound, Invalid."""
    query = select(order_events).where(order_events.c.order_id == order_id)
    if filters.get("cursor"):
        (seen,) = read_cursor(filters["cursor"], serial)
        query = query.where(order_events.c.id > seen)
    rows = session.execute(query.order_by(order_events.c.id).limit(filters["limit"] + 1)).all()
    if not rows:
        order_with_items(session, order_id)  # behind the last event of an order there is nothing more
    found = page(rows, filters["limit"], lambda row: write_cursor(row.id))
    return {**found, "items": [_readable(event) for event in found["items"]]}


def _readable(event: Row[Any]) -> dict[str, Any]:
    """An event as everybody may see it: what the release before noted of a fault holds what is nobody's business."""
    if event.kind != "needs_attention":
        return dict(event._mapping)
    cause = cause_noted(event.code, event.reason)
    return {**event._mapping, "code": cause, "reason": SENTENCES[cause]}


def customer(session: Session, customer_id: UUID) -> Row[Any]:
    """A customer. Raises CustomerNotFound."""
    row = session.execute(select(customers).where(customers.c.id == customer_id)).one_or_none()
    if row is None:
        raise CustomerNotFound(customer_id)
    return row


def list_customers(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of customers, newest first, all or who has this e-mail address (in any spelling of its case)."""
    query = select(customers).order_by(customers.c.id.desc()).limit(filters["limit"] + 1)
    if filters.get("email"):
        query = query.where(_with_email(session, filters["email"]))
    if filters.get("cursor"):
        (seen,) = read_cursor(filters["cursor"], UUID)
        query = query.where(customers.c.id < seen)
    return page(session.execute(query).all(), filters["limit"], lambda row: write_cursor(row.id))


def _with_email(session: Session, email: str) -> ColumnElement[bool]:
    """The customer whose address this is; where nobody owns it, all whom the release before has registered with it."""
    owners = select(customer_emails.c.customer_id).where(customer_emails.c.email == folded(email))
    owner = session.execute(owners).scalar_one_or_none()
    return func.lower(customers.c.email) == func.lower(email) if owner is None else customers.c.id == owner


_OWN_NO_ADDRESS = text(
    "SELECT id, email FROM customers"
    " WHERE NOT EXISTS (SELECT FROM customer_emails WHERE customer_id = customers.id) ORDER BY created_at, id"
)


def doubles(session: Session) -> list[list[UUID]]:
    """The ids of customers that have one e-mail address: for each such address its owner first, then the others, oldest
    first."""
    others: dict[str, list[UUID]] = {}
    for customer in session.execute(_OWN_NO_ADDRESS):
        others.setdefault(folded(customer.email), []).append(customer.id)
    owned = select(customer_emails.c.email, customer_emails.c.customer_id).where(customer_emails.c.email.in_(others))
    owners = {row.email: [row.customer_id] for row in session.execute(owned)}
    found = [owners.get(email, []) + others[email] for email in sorted(others)]
    return [ids for ids in found if len(ids) > 1]
