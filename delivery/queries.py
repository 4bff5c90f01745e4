"""Reading deliveries; nothing here changes or locks anything."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select, text
from sqlalchemy.orm import Session

from delivery.errors import DeliveryNotFound
from delivery.models import deliveries, delivery_logs

_BY_ID = text("SELECT * FROM deliveries WHERE id = ANY(CAST(:ids AS bigint[]))")
_LOGS = text("SELECT * FROM delivery_logs WHERE delivery_id = ANY(CAST(:ids AS bigint[])) ORDER BY id")


def find_deliveries(session: Session, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Deliveries by id, each with its log, oldest entry first; unknown ids are missing."""
    wanted = {"ids": list(ids)}
    found = {row.id: {**row._mapping, "log": []} for row in session.execute(_BY_ID, wanted)}
    for entry in session.execute(_LOGS, wanted).mappings():
        found[entry["delivery_id"]]["log"].append(entry)
    return found


def find_delivery(session: Session, delivery_id: int) -> dict[str, Any]:
    """One delivery and its log, oldest entry first. Raises DeliveryNotFound."""
    return _with_log(session, deliveries.c.id == delivery_id, f"There is no delivery {delivery_id}.")


def find_delivery_of_order(session: Session, order_id: UUID) -> dict[str, Any]:
    """The delivery of an order and its log, oldest entry first. Raises DeliveryNotFound."""
    return _with_log(session, deliveries.c.order_id == order_id, f"Order {order_id} has no delivery.")


_STATES = text("SELECT id, order_id, status, version FROM deliveries WHERE order_id = ANY(CAST(:ids AS uuid[]))")


def states_of_orders(session: Session, order_ids: Collection[UUID]) -> dict[UUID, Row[tuple[Any, ...]]]:
    """id, order_id, status and version of these orders' deliveries, by order id; orders without one are missing."""
    if not order_ids:
        return {}
    return {row.order_id: row for row in session.execute(_STATES, {"ids": list(order_ids)})}


def _with_log(session: Session, condition: ColumnElement[bool], absent: str) -> dict[str, Any]:
    delivery = session.execute(select(deliveries).where(condition)).one_or_none()
    if delivery is None:
        raise DeliveryNotFound(absent)
    log = session.execute(
        select(delivery_logs).where(delivery_logs.c.delivery_id == delivery.id).order_by(delivery_logs.c.id)
    )
    return {**delivery._mapping, "log": log.mappings().all()}
