"""Reading deliveries; nothing here changes or locks anything."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select, text, tuple_
from sqlalchemy.orm import Session

from chassis.notation import moment
from chassis.paging import page, read_cursor, write_cursor
from delivery.errors import DeliveryNotFound
from delivery.models import DeliveryId, deliveries, named

_BY_ID = text("SELECT * FROM deliveries WHERE id = ANY(CAST(:ids AS bigint[]))")
#: So many of its log's entries are shown with a delivery, the newest.
SHOWN_ENTRIES = 100
_LOGS = text("""
    SELECT entry.* FROM unnest(CAST(:ids AS bigint[])) AS asked (id) CROSS JOIN LATERAL (
        SELECT * FROM delivery_logs WHERE delivery_id = asked.id ORDER BY id DESC LIMIT :most
    ) AS entry
    ORDER BY entry.id
""")


def find_deliveries(session: Session, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Deliveries by serial, each with the newest of its log, oldest entry first; unknown serials are missing."""
    wanted = {"ids": list(ids)}
    found = {row.id: {**row._mapping, "log": []} for row in session.execute(_BY_ID, wanted)}
    for entry in session.execute(_LOGS, {**wanted, "most": SHOWN_ENTRIES}).mappings():
        found[entry["delivery_id"]]["log"].append(entry)
    return found


def existing(session: Session, names: Collection[DeliveryId]) -> set[DeliveryId]:
    """Those of these names, serials and public ids, that a delivery has, whoever holds it."""
    if not names:
        return set()
    found = session.execute(select(deliveries.c.id, deliveries.c.public_id).where(named(names)))
    return {name for row in found for name in row} & set(names)


def find_delivery(session: Session, delivery_id: DeliveryId) -> dict[str, Any]:
    """One delivery and the newest of its log, oldest entry first. Raises DeliveryNotFound."""
    return _with_log(session, named([delivery_id]), f"There is no delivery {delivery_id}.")


def find_delivery_of_order(session: Session, order_id: UUID) -> dict[str, Any]:
    """The delivery of an order and the newest of its log, oldest entry first. Raises DeliveryNotFound."""
    return _with_log(session, deliveries.c.order_id == order_id, f"Order {order_id} has no delivery.")


def list_deliveries(session: Session, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of deliveries without their logs: ``{"items", "next_cursor"}``.

    Filters: status, created_after (inclusive), created_before (exclusive), sort (``created_at`` or ``-created_at``),
    limit, cursor. Raises Invalid for a cursor that is none.
    """
    query = select(deliveries).limit(filters["limit"] + 1)
    if filters.get("status") is not None:
        query = query.where(deliveries.c.status == filters["status"])
    if filters.get("created_after") is not None:
        query = query.where(deliveries.c.created_at >= filters["created_after"])
    if filters.get("created_before") is not None:
        query = query.where(deliveries.c.created_at < filters["created_before"])
    newest_first = filters["sort"].startswith("-")
    # Not the serial: a cursor can be read, and would show it.
    columns = (deliveries.c.created_at, deliveries.c.public_id)
    if filters.get("cursor"):
        position, seen = tuple_(*columns), tuple_(*read_cursor(filters["cursor"], moment, UUID))
        query = query.where(position < seen if newest_first else position > seen)
    rows = session.execute(query.order_by(*(each.desc() if newest_first else each.asc() for each in columns))).all()
    return page(rows, filters["limit"], lambda row: write_cursor(row.created_at.isoformat(), row.public_id))


_STATES = text(
    "SELECT id, public_id, order_id, status, version FROM deliveries WHERE order_id = ANY(CAST(:ids AS uuid[]))"
)


def states_of_orders(session: Session, order_ids: Collection[UUID]) -> dict[UUID, Row[tuple[Any, ...]]]:
    """id, public_id, order_id, status and version of these orders' deliveries, by order id; orders without one are
    missing."""
    if not order_ids:
        return {}
    return {row.order_id: row for row in session.execute(_STATES, {"ids": list(order_ids)})}


def _with_log(session: Session, condition: ColumnElement[bool], absent: str) -> dict[str, Any]:
    delivery = session.execute(select(deliveries).where(condition)).one_or_none()
    if delivery is None:
        raise DeliveryNotFound(absent)
    log = session.execute(_LOGS, {"ids": [delivery.id], "most": SHOWN_ENTRIES})
    return {**delivery._mapping, "log": log.mappings().all()}
