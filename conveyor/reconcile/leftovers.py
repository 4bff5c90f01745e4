"""Is anything left where nothing should stay: outboxes, dead-letter queues, the quarantine?

Rows of an outbox and messages in a dead-letter queue may be on their way out, so both are looked at twice. A message in
the quarantine has been noticed when the order it belongs to is flagged, and is then no deviation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text

from chassis.settings import Settings
from conveyor import SERVICES
from conveyor.broker import dead_queues, depths, is_stand_in
from conveyor.databases import Databases
from conveyor.reconcile.rules import Deviation

_NEWEST_ROW = text("SELECT max(id) FROM outbox")
_ROWS_UNTIL = text(
    "SELECT count(*), extract(epoch FROM clock_timestamp() - min(least(created_at, clock_timestamp()))) FROM outbox"
    " WHERE id <= :newest"
)
_UNNOTICED = text(
    "SELECT message_id, queue, CAST(quarantine.order_id AS text), quarantine.reason FROM quarantine"
    " LEFT JOIN orders ON orders.id = quarantine.order_id"
    " WHERE state = 'waiting' AND NOT coalesce(needs_attention, false) ORDER BY last_seen"
)
_WAITING = text("SELECT count(*) FROM quarantine WHERE state = 'waiting'")


@dataclass
class Leftovers:
    """What was there at the first look. ``unchecked`` says what cannot be looked at here, and why."""

    newest: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int | None] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether a second look is needed."""
        return bool(self.newest) or any(count != 0 for count in self.dead.values())


def first_look(databases: Databases, settings: Settings) -> Leftovers:
    """What is in the outboxes and the dead-letter queues now. Raises DatabaseDown, BrokerDown."""
    found = Leftovers()
    for service in SERVICES:
        with databases.reading(service) as connection:
            newest = connection.execute(_NEWEST_ROW).scalar()
        if newest is not None:
            found.newest[service] = newest
    if not settings.broker_url:
        found.unchecked.append("dead-letter queues: CONVEYOR_BROKER_URL is not set")
    elif is_stand_in(settings.broker_url):
        found.unchecked.append("dead-letter queues: the stand-in broker has none")
    else:
        found.dead = depths(settings.broker_url, dead_queues())
    return found


def second_look(databases: Databases, settings: Settings, before: Leftovers) -> Iterator[Deviation]:
    """What of it is still there."""
    for service, newest in before.newest.items():
        with databases.reading(service) as connection:
            count, age = connection.execute(_ROWS_UNTIL, {"newest": newest}).one()
        if count:
            yield Deviation("outbox", service, f"{count} messages not sent, the oldest for {age:.0f} s", "none")
    still = [name for name, count in before.dead.items() if count != 0]
    for name, depth in (depths(settings.broker_url, still) if still else {}).items():
        if depth is None:
            yield Deviation("dead_letter", name, "no such queue", "a queue: run `conveyor topology`")
        elif depth:
            yield Deviation("dead_letter", name, f"{depth} messages", "none")


def unnoticed(databases: Databases) -> Iterator[Deviation]:
    """Messages that wait in the quarantine, while no flagged order points to them."""
    with databases.reading("sales") as connection:
        for message_id, queue, order_id, reason in connection.execute(_UNNOTICED):
            whose = f"of order {order_id}" if order_id else "of no known order"
            yield Deviation(
                "quarantine",
                message_id,
                f"waits, {whose}, from {queue}: {reason.strip().splitlines()[0] if reason.strip() else 'no reason'}",
                "replayed or dropped, or its order flagged",
            )


def waiting(databases: Databases) -> int:
    """How many messages wait in the quarantine, noticed or not."""
    with databases.reading("sales") as connection:
        return int(connection.execute(_WAITING).scalar_one())
