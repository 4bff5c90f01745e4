"""The verdict: what reconcile and the clients have to say about the databases, and the last line of a run."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chassis.settings import Settings
from conveyor.chaos import evidence, promises
from conveyor.chaos.shop import Known
from conveyor.databases import Databases
from conveyor.reconcile.rules import Deviation
from conveyor.reconcile.run import Findings, reconcile

#: Orders whose whole story is printed. The others are named.
STORIES = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run; as text it is its last line. ``counted``: how often what was done."""

    seed: int
    counted: Mapping[str, int]
    orders: int
    flagged: int
    violations: int

    def __str__(self) -> str:
        names = ("kills", "restarts", "pauses", "duplicates")
        done = " ".join(f"{name}={self.counted.get(name, 0)}" for name in names)
        return f"CHAOS seed={self.seed} {done} orders={self.orders} flagged={self.flagged} violations={self.violations}"


def count_violations(
    settings: Settings,
    known: Sequence[Known],
    opening: Mapping[str, int],
    plentiful: frozenset[str],
    say: Callable[[str], None],
) -> int:
    """Check everything, say what is wrong and all that is known of those orders. Raises DatabaseDown, BrokerDown.

    ``opening``: units by product id before the first order; ``plentiful``: skus that never run out.
    """
    findings = Findings()
    with Databases(settings) as databases:
        told = evidence.gather(databases)
        statuses = Counter(each.status for each in told.orders.values())
        say(", ".join(f"{count} {status}" for status, count in sorted(statuses.items())))
        found = [*reconcile(settings, findings, settled=True), *promises.broken(known, told, opening, plentiful)]
        say(f"checked {', '.join(f'{count} {name}' for name, count in findings.checked.items())}")
        _report(databases, found, say)
    return len(found)


def _report(databases: Databases, found: Sequence[Deviation], say: Callable[[str], None]) -> None:
    for each in found:
        say(f"VIOLATION {each.kind}  {each.id}  there is: {each.found}  should be: {each.expected}")
    ids = dict.fromkeys(name for each in found for name in each.id.split(", "))
    for order_id in itertools.islice((each for each in ids if evidence.is_id(each)), STORIES):
        say(f"what is known of {order_id}:")
        for line in evidence.story(databases, order_id):
            say(f"    {line}")
