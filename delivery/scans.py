"""Couriers scan parcels. A scan is a fact: it is kept, whatever the parcel was and in whatever order scans arrive.

What the parcel is then, ``status.status_by_scan`` says; its order follows. A scan that comes again is kept once. One of
a parcel that is cancelled moves nothing: its order is put before people. Takes a session, never commits.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from chassis.errors import AppError
from chassis.outbox import enqueue
from chassis.together import RowHeld
from delivery import queries
from delivery.errors import CancelTheOrder, DeliveryNotFound, IllegalTransition
from delivery.models import Delivery, DeliveryId, LogEntry, lock_deliveries, save
from delivery.status import CANCELLED, PENDING, SCANNED, DeliveryStatus, status_by_scan, time_of_scan

_UPDATE_ORDER_STATUS: dict[str, Any] = {
    "task": "sales.update_order_status",
    "args": [],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}
_NEXT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a courier says: what the parcel is and where, when that happened (in UTC), and his own name for it."""

    status: DeliveryStatus
    location: str | None = None
    notes: str | None = None
    occurred_at: datetime | None = None
    event_id: str | None = None

    def is_again(self, entry: LogEntry) -> bool:
        """Whether this entry is the same scan. Without a time of its own only its name says so."""
        if self.event_id is not None and self.event_id == entry.event_id:
            return True
        same = (self.status, self.location, self.occurred_at) == (entry.status, entry.location, entry.courier_time)
        return self.occurred_at is not None and same


@dataclass(frozen=True, slots=True)
class Report:
    """A courier scans a parcel. ``check`` raises where the courier meant another version of the delivery."""

    delivery_id: DeliveryId
    scan: Scan
    correlation_id: str
    check: Callable[[int], None] = lambda _version: None


def follow_couriers(
    session: Session, reports: Sequence[Report], *, wait: bool
) -> list[dict[str, Any] | AppError | RowHeld]:
    """Couriers scan parcels; their orders follow. Returns for each the delivery with its log, or the refusal.

    With the delivery come ``scan``, the entry of the log that this scan is, and ``repeated``, whether that was there
    before. Refused: DeliveryNotFound, CancelTheOrder, IllegalTransition (a parcel is PENDING only before its first
    scan), and what a report's ``check`` raises; of a scan that comes again nothing is checked. Unless ``wait``, a
    report on a delivery that another transaction holds gets RowHeld.
    """
    named = {each.delivery_id for each in reports}
    locked = lock_deliveries(session, named, wait=wait)
    parcels = {each.id: _Parcel(each) for each in locked.values()}  # one that is named in both ways stands there twice
    turns = [turn for turn, each in enumerate(reports) if each.delivery_id in locked]
    done: dict[int, dict[str, Any] | AppError] = {}
    for turn, known in zip(turns, _known(session, [reports[turn] for turn in turns], locked), strict=True):
        parcel = parcels[locked[reports[turn].delivery_id].id]
        try:
            done[turn] = parcel.take(reports[turn], known)
        except AppError as refusal:
            done[turn] = refusal
    if any(each.delivery.entries for each in parcels.values()):
        save(session, [each.delivery for each in parcels.values()])
    if news := [message for each in parcels.values() for message in each.news]:
        enqueue(session, [_UPDATE_ORDER_STATUS], news)
    held = set() if wait else queries.existing(session, named - locked.keys())
    shown = queries.find_deliveries(session, parcels)

    def answer(turn: int, delivery_id: DeliveryId) -> dict[str, Any] | AppError | RowHeld:
        if turn not in done:
            return _absent(delivery_id, held)
        outcome = done[turn]
        return outcome if isinstance(outcome, AppError) else {**shown[locked[delivery_id].id], **outcome}

    return [answer(turn, report.delivery_id) for turn, report in enumerate(reports)]


def follow_courier(session: Session, delivery_id: DeliveryId, scan: Scan, correlation_id: str) -> None:
    """``follow_couriers`` for one. Raises its refusal."""
    [outcome] = follow_couriers(session, [Report(delivery_id, scan, correlation_id)], wait=True)
    if isinstance(outcome, AppError):
        raise outcome


def _known(
    session: Session, reports: Sequence[Report], locked: dict[DeliveryId, Delivery]
) -> Sequence[Row[tuple[Any, ...]]]:
    if not reports:
        return []
    told = [{"delivery_id": locked[each.delivery_id].id, **asdict(each.scan)} for each in reports]
    return queries.remembered(session, told)


def _absent(delivery_id: DeliveryId, held: Container[DeliveryId]) -> AppError | RowHeld:
    """Why a delivery could not be locked."""
    return RowHeld() if delivery_id in held else DeliveryNotFound(f"There is no delivery {delivery_id}.")


class _Parcel:
    """A locked delivery while scans of it are taken, one after the other; ``news`` is what its order is to hear."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.news: list[dict[str, Any]] = []
        self._latest: datetime | None = None
        self._received: datetime | None = None

    def take(self, report: Report, known: Row[tuple[Any, ...]]) -> dict[str, Any]:
        """Keep this scan, and let it decide what the parcel is."""
        scan = report.scan
        self._refuse(scan.status)
        if known.id is not None:
            return {"scan": known._mapping, "repeated": True}
        for entry in self.delivery.entries:
            if scan.is_again(entry):
                return {"scan": asdict(entry), "repeated": True}
        report.check(self.delivery.version)
        entry = self._keep(report, known)
        return {"scan": asdict(entry), "repeated": False}

    def _refuse(self, scanned: DeliveryStatus) -> None:
        if scanned == CANCELLED:
            order_id = str(self.delivery.order_id)
            raise CancelTheOrder(f"A delivery is cancelled with its order: cancel order {order_id}.", order_id=order_id)
        if scanned == PENDING:
            raise IllegalTransition(self.delivery.status, scanned, SCANNED)

    def _keep(self, report: Report, known: Row[tuple[Any, ...]]) -> LogEntry:
        scan, delivery = report.scan, self.delivery
        # A log's times do not go back, and no two of its entries have one.
        received = max(known.now, self._received + _NEXT) if self._received else known.now
        latest = max((each for each in (known.latest, self._latest) if each), default=None)
        at = time_of_scan(scan.occurred_at, received)
        entry = LogEntry(scan.status, scan.location, scan.notes, received, at, scan.occurred_at, scan.event_id)
        cancelled = delivery.status == CANCELLED
        if delivery.scan(status_by_scan(delivery.status, latest, scan.status, at, received), entry):
            self._tell(
                report,
                "delivery",
                delivery.version,
                delivery_status=delivery.status,
                delivery_version=delivery.version,
            )
        elif cancelled:
            # Numbered by its moment: serial numbers are given out again after a restore.
            self._tell(report, "scan", int(received.timestamp() * 1_000_000), detail=_in_words(entry))
        self._received = received
        self._latest = max(latest, at) if latest else at
        return entry

    def _tell(self, report: Report, kind: str, no: int, **facts: Any) -> None:
        order_id = str(self.delivery.order_id)
        self.news.append(
            {"order_id": order_id, "kind": kind, "no": no, "correlation_id": report.correlation_id, **facts}
        )


def _in_words(entry: LogEntry) -> str:
    where = f" at {entry.location}" if entry.location else ""
    when = f"{entry.occurred_at:%Y-%m-%d %H:%M} UTC"
    return f"A courier scanned the cancelled parcel as {entry.status}{where}, {when}."
