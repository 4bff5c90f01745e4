"""Reading deliveries; nothing here changes or locks anything."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, text, tuple_
from sqlalchemy.orm import Session

from chassis.database import recordset
from chassis.notation import moment, serial
from chassis.paging import page, read_cursor, write_cursor
from delivery.errors import DeliveryNotFound
from delivery.models import DeliveryId, deliveries, delivery_logs, named

_BY_ID = text("SELECT * FROM deliveries WHERE id = ANY(CAST(:ids AS bigint[]))")
#: So many of its log's entries are shown with a delivery, the newest.
SHOWN_ENTRIES = 100
# What the release before has written, and what nobody has told the time of, happened when it was written.
_ENTRY = (
    'delivery_id, id, status, location, notes, "timestamp", coalesce(occurred_at, "timestamp") AS occurred_at, event_id'
)
_LOGS = text(f"""
    SELECT entry.* FROM unnest(CAST(:ids AS bigint[])) AS asked (id) CROSS JOIN LATERAL (
        SELECT {_ENTRY} FROM delivery_logs WHERE delivery_id = asked.id ORDER BY id DESC LIMIT :most
    ) AS entry
    ORDER BY entry.id
""")
_LOG_FROM = text(
    f"SELECT {_ENTRY} FROM delivery_logs WHERE delivery_id = :delivery_id AND id > :seen ORDER BY id LIMIT :most"
)
# The clock is the database's: processes on several hosts have one time, and it is read when the delivery is locked.
_REMEMBERED = text(f"""
    SELECT clock_timestamp() AS now, latest.at AS latest, entry.* FROM json_to_recordset(:scans) AS scan
        (turn int, delivery_id bigint, status text, location text, occurred_at timestamptz, event_id text)
    LEFT JOIN LATERAL (
        SELECT coalesce(occurred_at, "timestamp") AS at FROM delivery_logs
        WHERE delivery_id = scan.delivery_id AND status IN ('IN_TRANSIT', 'FAILED')
        ORDER BY coalesce(occurred_at, "timestamp") DESC LIMIT 1
    ) AS latest ON true
    LEFT JOIN LATERAL (
        (SELECT {_ENTRY} FROM delivery_logs
         WHERE delivery_id = scan.delivery_id AND event_id = scan.event_id ORDER BY id LIMIT 1)
        UNION ALL
        (SELECT {_ENTRY} FROM delivery_logs
         WHERE delivery_id = scan.delivery_id AND courier_time = scan.occurred_at AND status = scan.status
            AND location IS NOT DISTINCT FROM scan.location ORDER BY id LIMIT 1)
        LIMIT 1
    ) AS entry ON true
    ORDER BY scan.turn
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


def remembered(session: Session, scans: Sequence[Mapping[str, Any]]) -> Sequence[Row[tuple[Any, ...]]]:
    """For each of these scans, in their order: what is known of its delivery, which is locked.

    A row has ``now``, the time of the ``latest`` scan that left the parcel under way or failed, None where there was
    none, and the entry of the log that this scan repeats, ``id`` None where it repeats none.
    """
    told = [{"turn": turn, **each} for turn, each in enumerate(scans)]
    return session.execute(_REMEMBERED, {"scans": recordset(told)}).all()


def find_delivery(session: Session, delivery_id: DeliveryId) -> dict[str, Any]:
    """One delivery, the newest of its log, oldest entry first, and how many ``entries`` that has. Raises
    DeliveryNotFound."""
    return _with_log(session, named([delivery_id]), _no_delivery(delivery_id))


def list_log(session: Session, delivery_id: DeliveryId, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page of a delivery's log, in the order in which it was written: ``{"items", "next_cursor"}``.

    Raises DeliveryNotFound, and Invalid for a cursor that is none.
    """
    (seen,) = read_cursor(filters["cursor"], serial) if filters.get("cursor") else (0,)
    found = session.execute(select(deliveries.c.id).where(named([delivery_id]))).scalar_one_or_none()
    if found is None:
        raise DeliveryNotFound(_no_delivery(delivery_id))
    values = {"delivery_id": found, "seen": seen, "most": filters["limit"] + 1}
    rows = session.execute(_LOG_FROM, values).all()
    return page(rows, filters["limit"], lambda row: write_cursor(row.id))


def find_delivery_of_order(session: Session, order_id: UUID) -> dict[str, Any]:
    """``find_delivery`` by its order. Raises DeliveryNotFound."""
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


def _no_delivery(delivery_id: DeliveryId) -> str:
    return f"There is no delivery {delivery_id}."


def _with_log(session: Session, condition: ColumnElement[bool], absent: str) -> dict[str, Any]:
    length = select(func.count()).where(delivery_logs.c.delivery_id == deliveries.c.id).scalar_subquery()
    delivery = session.execute(select(deliveries, length.label("entries")).where(condition)).one_or_none()
    if delivery is None:
        raise DeliveryNotFound(absent)
    log = session.execute(_LOGS, {"ids": [delivery.id], "most": SHOWN_ENTRIES})
    return {**delivery._mapping, "log": log.mappings().all()}
