"""Mending what reconcile has found, an order at a time, each under its locks and each repair on record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from chassis.database import Fault, fault_of
from chassis.repairs import Repair, record_repair
from chassis.settings import Settings
from conveyor.reconcile.advice import BUSY, Advice, advice_on
from conveyor.reconcile.facts import Facts, these_orders
from conveyor.reconcile.hold import Held, in_hand, open_databases
from conveyor.reconcile.remedies import CannotMend, Remedy, remedies_for
from conveyor.reconcile.rules import Deviation, deviations_of

#: Deviations of these kinds are about an order, and its id is theirs.
OF_AN_ORDER = frozenset(
    {"reservation", "ledger", "delivery", "delivery_version", "duplicate_delivery", "scans", "saga", "lines", "total"}
)


class Mended(NamedTuple):
    """A deviation that is gone, and what was done about it, in the database of which service."""

    deviation: Deviation
    service: str
    did: str


class Left(NamedTuple):
    """A deviation that is still there: why, and what a person can do."""

    deviation: Deviation
    advice: Advice


@dataclass
class Repairs:
    """One run of repairs: who asked for it, and whether it is only to be shown what would be done."""

    settings: Settings
    actor: str
    dry_run: bool = False
    run: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        self._databases = open_databases(self.settings)

    def mend(self, found: Iterable[Deviation]) -> Iterator[Mended | Left]:
        """Mend what can be mended; of everything say what was done, or why nothing. Raises the databases' errors.

        The deviations of an order come one after another, as reconcile finds them.
        """
        for (_, of_an_order), deviations in groupby(found, key=lambda each: (each.id, each.kind in OF_AN_ORDER)):
            listed = list(deviations)
            if of_an_order:
                yield from self._order(listed)
            else:
                yield from (Left(each, advice_on(each)) for each in listed)

    def close(self) -> None:
        """Close the connections."""
        self._databases.close()

    def _order(self, found: list[Deviation]) -> list[Mended | Left]:
        order_id = found[0].id
        try:
            with in_hand(self._databases.sessions, order_id, keep=not self.dry_run) as held:
                return self._mend(held, order_id)
        except DBAPIError as error:
            if fault_of(error) is Fault.OTHER:
                raise
            return [Left(each, BUSY._replace(why=str(error.orig).strip().splitlines()[0])) for each in found]

    def _mend(self, held: Held, order_id: str) -> list[Mended | Left]:
        """Look again, now that the order holds still; try one remedy after the other, and look after each."""
        mended: list[Mended | Left] = []
        tried: set[Remedy] = set()
        obstacles: dict[str, str] = {}
        look = partial(_look, held, order_id)
        facts, wrong = look()
        while chosen := next((each for each in remedies_for(facts, wrong) if each[0] not in tried), None):
            remedy, deviation = chosen
            tried.add(remedy)
            try:
                did = self._apply(held, facts, remedy, deviation)
                mended.append(Mended(deviation, remedy.service, did))
            except CannotMend as obstacle:
                obstacles |= dict.fromkeys(remedy.kinds, str(obstacle))
            facts, wrong = look()
        return mended + [_left(each, obstacles) for each in wrong]

    def _apply(self, held: Held, facts: Facts, remedy: Remedy, deviation: Deviation) -> str:
        session = held.session(remedy.service)
        with session.begin_nested():
            did = remedy.mend(held, facts)
            record_repair(session, Repair(self.actor, self.run, deviation.kind, deviation.id, deviation.found, did))
        return did


def _look(held: Held, order_id: str) -> tuple[Facts, list[Deviation]]:
    (facts,) = list(these_orders(held, [order_id])) or [Facts(order_id, None, None, None)]
    return facts, list(deviations_of(facts))


def _left(deviation: Deviation, obstacles: dict[str, str]) -> Left:
    advice = advice_on(deviation)
    obstacle = obstacles.get(deviation.kind)
    return Left(deviation, advice._replace(why=obstacle) if obstacle else advice)
