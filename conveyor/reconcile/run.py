"""All checks in order, and the second look at whatever was moving."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from chassis.settings import Settings
from conveyor import SERVICES
from conveyor.databases import Databases
from conveyor.reconcile import leftovers
from conveyor.reconcile.facts import RANGE, Facts, every_order, these_orders
from conveyor.reconcile.orphan import settled_orphans
from conveyor.reconcile.rules import Deviation, changed_since, deviations_of, in_flight
from conveyor.reconcile.stock import every_product

#: Seconds after which an order that was moving is looked at again.
SETTLE = 10.0
#: An order that keeps moving is looked at so often before its deviations count.
LOOKS = 6

#: Orders to look at again, by id, and what was known of each as a hash: a million facts would fill the memory.
Moving = dict[str, int]


@dataclass
class Findings:
    """What was looked at so far, and what could not be: ``checked`` counts by name."""

    checked: Counter[str] = field(default_factory=Counter)
    unchecked: list[str] = field(default_factory=list)


def reconcile(
    settings: Settings,
    findings: Findings,
    *,
    settle: float = SETTLE,
    settled: bool = False,
    wait: Callable[[float], None] = time.sleep,
    advance: Callable[[int], None] = lambda _more: None,
) -> Iterator[Deviation]:
    """Every deviation, as it is found. ``settled``: an order still in flight in the end is one too.

    ``advance`` is told now and then how many more orders have been read.
    Reads and never writes. Raises SettingsError, DatabaseDown, BrokerDown.
    """
    with Databases(settings) as databases:
        before = leftovers.first_look(databases, settings)
        findings.unchecked += before.unchecked
        findings.checked["outboxes"] = len(SERVICES)
        findings.checked["dead-letter queues"] = len(before.dead)
        for wrong in every_product(databases):
            findings.checked["products"] += 1
            yield from wrong
        moving: Moving = {}
        judge = _Judge(settled, settled_orphans(databases))
        for number, wrong in enumerate(_first_look(databases, findings, moving, judge), start=1):
            if number % RANGE == 0:
                advance(RANGE)
            yield from wrong
        if moving or before.found:
            wait(settle)
        yield from leftovers.second_look(databases, settings, before)
        yield from _look_again(databases, moving, judge, lambda: wait(settle))
        if judge.decided:
            findings.checked["orphans that somebody has decided about"] = len(judge.decided)
        findings.checked["messages waiting in quarantine"] = leftovers.waiting(databases)
        yield from leftovers.unnoticed(databases)


@dataclass(frozen=True)
class _Judge:
    """What counts: with ``settled`` an order in flight does, too; what somebody has decided about does not."""

    settled: bool
    decided: set[str]

    def deviations(self, facts: Facts) -> list[Deviation]:
        if facts.sales is None and facts.order_id in self.decided:
            return []
        found = list(deviations_of(facts))
        if self.settled and facts.sales and in_flight(facts) and not facts.sales.flagged:
            found.append(Deviation("in_flight", facts.order_id, facts.sales.status, "an order that has ended"))
        return found


def _first_look(databases: Databases, findings: Findings, moving: Moving, judge: _Judge) -> Iterator[list[Deviation]]:
    """For each order its deviations if it stands still; the suspects among the others are put into ``moving``."""
    recently = _now(databases) - timedelta(seconds=SETTLE)
    for facts in every_order(databases):
        _count(findings.checked, facts)
        found = judge.deviations(facts)
        if found and (in_flight(facts) or changed_since(facts, recently)):
            moving[facts.order_id] = hash(facts)
            found = []
        yield found


def _look_again(databases: Databases, moving: Moving, judge: _Judge, wait: Callable[[], None]) -> Iterator[Deviation]:
    """Deviations that are still there. An order about which anything has changed meanwhile gets another look."""
    for look in range(1, LOOKS + 1):
        suspects, last = moving, look == LOOKS
        moving = {}
        for facts in these_orders(databases, list(suspects)):
            found = judge.deviations(facts)
            if found and hash(facts) != suspects[facts.order_id] and not last:
                moving[facts.order_id] = hash(facts)
            else:
                yield from found
        if not moving:
            return
        wait()


def _count(checked: Counter[str], facts: Facts) -> None:
    checked["orders"] += facts.sales is not None
    checked["reservations"] += facts.inventory is not None and facts.inventory.state is not None
    checked["deliveries"] += facts.delivery.copies if facts.delivery else 0
    checked["orders in flight"] += in_flight(facts)
    checked["orders that need attention"] += facts.sales is not None and facts.sales.flagged


def _now(databases: Databases) -> datetime:
    """By the clock that stamps the orders; the other databases' is assumed to agree to a few seconds."""
    with databases.reading("sales") as connection:
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now


def about_how_many(settings: Settings) -> int:
    """The number of orders as PostgreSQL last estimated it, for showing progress; 0 where it never has."""
    with Databases(settings) as databases, databases.reading("sales") as connection:
        estimate = connection.execute(text("SELECT reltuples FROM pg_class WHERE oid = CAST('orders' AS regclass)"))
        return max(0, int(estimate.scalar_one()))
