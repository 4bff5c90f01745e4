"""`make mutants`: change the modules that keep the promises, one thing at a time, and see which change no test notices.

    python -m tests.mutants.run --sql                what is changed in SQL, locks and conditions: 150 of them
    python -m tests.mutants.run                      all of them, 1,500: hours
    python -m tests.mutants.run --most 300           as many, chosen by lot (--seed)
    python -m tests.mutants.run sales/pricing        one module

First all tests run once, and it is written down which of them comes by which line. Then each mutant is tried in a
process of its own by the tests that come by it, the quickest first, until one fails. PostgreSQL, Valkey and RabbitMQ
are started once; each mutant has databases of its own, copies of migrated ones. What survives is printed. A mutant in
``survivors.txt`` may, for the reason that stands there; where another one does, the exit code is 1.

Not seen are tests of whole processes (tests/e2e, tests/crashpoints, tests/controls): they would take a minute a mutant.
"""

import argparse
import ast
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.operators import Mutant, mutants
from tests.mutants.servers import Servers

ROOT = Path(__file__).parents[2]
EXPECTED = Path(__file__).parent / "survivors.txt"

#: The modules that keep the promises.
MODULES = (
    "chassis/attempts", "chassis/cache", "chassis/database", "chassis/group_commit", "chassis/idempotency",
    "chassis/outbox", "chassis/together", "chassis/wake", "delivery/models", "delivery/scans", "delivery/service",
    "gateway_app/idempotency", "gateway_app/upstream", "inventory/models", "inventory/queries", "inventory/service",
    "sales/backlog", "sales/chains", "sales/faults", "sales/following", "sales/models", "sales/placing",
    "sales/pricing", "sales/service", "sales/status", "sales/sweeping", "sales/timeline", "tasks/admission",
    "tasks/bundles", "tasks/patience", "tasks/publisher", "tasks/quarantine", "tasks/relay", "tasks/step",
    "tasks/sweeper",
)  # fmt: skip
#: Tests in one process, with at most one server of each kind.
TESTS = (
    "tests/unit/chassis", "tests/unit/delivery", "tests/unit/gateway_app", "tests/unit/inventory", "tests/unit/sales",
    "tests/unit/tasks", "tests/integration/chassis/test_cache.py", "tests/integration/chassis/test_idempotency.py",
    "tests/integration/chassis/test_transaction.py", "tests/integration/chassis/test_values_in_errors.py",
    "tests/integration/delivery", "tests/integration/inventory",
    "tests/integration/gateway_app/test_idempotency.py", "tests/integration/gateway_app/test_proxy.py",
    "tests/integration/saga", "tests/integration/sales", "tests/integration/tasks",
    # They are too long for a mutant, and come by everything.
    "--ignore=tests/integration/saga/test_long_outages.py", "--ignore=tests/integration/saga/test_any_order.py",
    "--ignore=tests/integration/delivery/test_any_order.py",
)  # fmt: skip
#: Seconds: a test that takes longer is for `make test`. One that hangs because of a mutant has noticed it, as it would
#: there, where the limit is longer. The last is for all tests of a mutant, each of which may have become slow.
SLOW, HANGS, PATIENCE = 6.0, 40.0, 1_200.0
#: Ends of a mutant that nobody has noticed.
SURVIVED = ("survived", "not tested")
#: Tests that are asked about one mutant, at most: the quickest that come by.
MOST_TESTS = 120


@dataclass
class Seen:
    """Which tests come by which lines, and how long each takes; of a run in which nothing is changed.

    Tests that failed in it, or fail in another order, are left out.
    """

    by_line: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]
    #: The test that has noticed a mutant of this name before: it is asked first.
    killers: dict[str, str]

    def tests_of(self, mutant: Mutant, source: str) -> list[str]:
        """The tests that come by this line or, of a statement on no path, by those that use what it defines."""
        lines = self.by_line.get(mutant.module, {})
        found = set().union(*(lines.get(each, set()) for each in _lines_of(mutant.line, source)))
        quick = sorted((each for each in found if self.seconds[each] <= SLOW), key=self.seconds.__getitem__)
        return quick[:MOST_TESTS]


def _lines_of(line: int, source: str) -> set[int]:
    """The lines of the statement that this line is in; of a constant, those in functions that name it.

    What a module does once, when it is loaded, and a constant for other modules, is everybody's who comes by it.
    """
    tree = ast.parse(source)
    around = [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and line in _lines(each)]
    everything = set(range(1, source.count("\n") + 2))
    if isinstance(around[0], ast.Expr):
        return everything
    if not isinstance(around[0], ast.Assign | ast.AnnAssign):
        return set(_lines(min(around, key=lambda each: len(_lines(each)))))
    names = {each.id for each in ast.walk(around[0]) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    used: set[int] = set()
    for each in tree.body:
        naming = {inner.lineno for inner in ast.walk(each) if isinstance(inner, ast.Name) and inner.id in names}
        if naming and each is not around[0]:
            used |= _lines_of(each.lineno, source) if isinstance(each, ast.Assign | ast.AnnAssign) else naming
    return used or everything


def _lines(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, Servers(Path(folder)) as servers:
        seen = _watch(servers, options.seen)
        chosen = list(_chosen(options))
        print(f"{len(chosen)} mutants, {len(seen.seconds)} tests", flush=True)
        ends: Counter[str] = Counter()
        survivors: list[Mutant] = []
        for mutant in chosen:
            end, by = _try(servers, seen, mutant)
            ends[end] += 1
            if end in SURVIVED:
                survivors.append(mutant)
            if options.verbose or end != "killed":
                print(f"{end:<10} {mutant.id}{f'  by {by}' if end == 'killed' else ''}", flush=True)
        if options.seen is not None:
            _keep(options.seen, killers=seen.killers)
    return _judge(ends, survivors)


def _try(servers: Servers, seen: Seen, mutant: Mutant) -> tuple[str, str]:
    """How the mutant ends (killed, survived, not tested, or too long, which is no verdict), and at which test."""
    tests = seen.tests_of(mutant, (ROOT / f"{mutant.module}.py").read_text())
    before = seen.killers.get(mutant.name)
    for asked in ([before] if before in tests else [], tests):
        end, by = servers.run(mutant, asked, HANGS, PATIENCE) if asked else ("not tested", "")
        if end == "killed":
            seen.killers[mutant.name] = by
            break
    return end, by


def _judge(ends: Counter[str], survivors: list[Mutant]) -> int:
    print(", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    known = {line.partition(" | ")[0] for line in EXPECTED.read_text().splitlines()} if EXPECTED.exists() else set()
    news = [each for each in survivors if each.name not in known]
    for each in news:
        print(f"not in {EXPECTED.name}: {each.name}")
    return 1 if news or ends["too long"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", help="like sales/pricing; all without any")
    parser.add_argument("--most", type=int, help="as many mutants, chosen by lot")
    parser.add_argument("--seed", type=int, default=1)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--sql", action="store_true", help="only what is changed in SQL and in queries")
    kinds.add_argument("--python", action="store_true", help="only what is changed elsewhere")
    parser.add_argument("--only", default="", help="only mutants with this in their name")
    parser.add_argument("--seen", type=Path, help="a file that keeps which test comes by which line, and notices what")
    parser.add_argument("--verbose", action="store_true", help="a line for every mutant")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> Iterator[Mutant]:
    found: list[Mutant] = []
    for module in options.modules or MODULES:
        found += mutants(module, (ROOT / f"{module}.py").read_text())
    if options.sql or options.python:
        found = [each for each in found if each.is_sql == options.sql]
    found = [each for each in found if options.only in each.id]
    if options.most is not None and options.most < len(found):
        chosen = set(random.Random(options.seed).sample(range(len(found)), len(found))[: options.most])
        found = [each for n, each in enumerate(found) if n in chosen]
    yield from found


def _watch(servers: Servers, kept: Path | None) -> Seen:
    if kept is not None and kept.exists():
        told = json.loads(kept.read_text())
    else:
        began = time.monotonic()
        told = servers.watch(TESTS, MODULES)
        quick = sorted((each for each in told["lines"] if told["seconds"][each] <= SLOW), key=told["seconds"].get)
        told["failed"] += servers.failing([each for each in quick if each not in told["failed"]])
        print(f"all tests twice: {time.monotonic() - began:.0f} s", flush=True)
        if kept is not None:
            _keep(kept, **told)
    for each in told["failed"]:
        print(f"says nothing, since it fails by itself: {each}", flush=True)
    by_line: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for test, lines in told["lines"].items():
        if test in told["failed"]:
            continue
        for module, numbers in lines.items():
            for number in numbers:
                by_line[module][number].add(test)
    return Seen(by_line, told["seconds"], told.get("killers", {}))


def _keep(file: Path, **more: Any) -> None:
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**before, **more}))


if __name__ == "__main__":
    sys.exit(main())
