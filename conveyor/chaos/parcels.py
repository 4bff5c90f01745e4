"""What couriers were promised: every scan that was answered is kept, and once, and the latest decides. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from conveyor.chaos.shop import Known, event_of
from conveyor.reconcile.rules import Deviation


class Entry(NamedTuple):
    """One entry of a delivery's log."""

    status: str
    occurred_at: datetime
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery as its database has it."""

    status: str
    log: Sequence[Entry]

    def __str__(self) -> str:
        return " -> ".join(each.status for each in self.log) or "no log"


def unkept(each: Known, parcel: Parcel | None) -> Iterator[Deviation]:
    """What a courier was told is kept is in the log, and once, however often it was sent."""
    times = Counter(entry.event_id for entry in parcel.log) if parcel else Counter[str | None]()
    for station, (move, told) in enumerate(each.moves):
        if told.accepted and not move.by_operator and times[event_of(each, station)] != 1:
            found = f"{parcel or 'no parcel'}: {times[event_of(each, station)]} times"
            yield Deviation("courier", str(each.order_id), found, f"{move.to} once, as was answered")
            return


def undecided(order_id: str, parcel: Parcel) -> Iterator[Deviation]:
    """A parcel is what its log says, in whatever order that was written."""
    should_be = _decided(parcel.log)
    if parcel.status != should_be:
        yield Deviation("scans", order_id, f"{parcel.status}, by {parcel}", should_be)


def unnoticed(order_id: str, parcel: Parcel, noticed: int) -> Iterator[Deviation]:
    """Each scan of a parcel that was cancelled before has been put before people."""
    statuses = [each.status for each in parcel.log]
    after = len(statuses) - 1 - statuses.index("CANCELLED") if "CANCELLED" in statuses else 0
    if noticed != after:
        yield Deviation("unnoticed", order_id, f"{parcel}: {noticed} put before people", f"{after}")


def _decided(log: Sequence[Entry]) -> str:
    statuses = {each.status for each in log}
    for final in ("CANCELLED", "DELIVERED"):
        if final in statuses:
            return final
    scanned = [(each.occurred_at, each.status == "FAILED", each.status) for each in log if each.status != "PENDING"]
    return max(scanned)[2] if scanned else "PENDING"
