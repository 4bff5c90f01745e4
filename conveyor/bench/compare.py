"""Two revisions of the project, or two settings of one, measured in turn: which is faster, on this machine, today.

The clients and the measuring are those of the code that runs here. Of a revision nothing is used but its commands
``run`` and ``reconcile``, its door for orders and its tables, so it may be older than the benchmark.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chassis.errors import ConveyorError
from chassis.settings import PREFIX, Settings
from conveyor.bench.run import PLACED, Bench, Document, Options, say, wrong_statuses
from conveyor.bench.shop import Shop
from conveyor.embedded.processes import inherited
from conveyor.own_stack import started

ROOT = Path(__file__).parents[2]
FIGURES = {"completed_per_second": "orders/s", "machine_cpu_ms_per_order": "CPU ms/order", "post_p99_ms": "POST p99 ms"}

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def compare(revisions: Sequence[str], runs: int, options: Options, second_alone: Mapping[str, str]) -> Document:
    """Each of two revisions so many times, in turn, each time on a stack of its own. Raises ConveyorError.

    ``second_alone``: variables that only the second's stack is started with, such as CONVEYOR_WORKERS.
    The answer has the runs of each and, for each figure, the ratio of the second's median to the first's.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    with _checked_out(revisions) as trees:
        for number in range(1, runs + 1):
            for (name, tree), variables in zip(trees.items(), ({}, second_alone), strict=True):
                say(f"run {number} of {runs}: {name}")
                found.setdefault(name, []).append(_once(tree, variables, options))
    first, second = (_medians(each) for each in found.values())
    return {
        "second_alone": dict(second_alone),
        "runs": found,
        "ratios": {figure: second[figure] / first[figure] for figure in FIGURES},
        "wrong": [wrong for each in found.values() for run in each for wrong in run["wrong"]],
    }


def lines(document: Document) -> Iterator[str]:
    """The comparison, for people."""
    runs: Runs = document["runs"]
    medians = [_medians(each) for each in runs.values()]
    yield f"{'':<14}" + "".join(f" {name[:20]:>20}" for name in runs) + "   second / first"
    for figure, title in FIGURES.items():
        for row in zip(*runs.values(), strict=True):
            yield f"{title:<14}" + "".join(f" {run[figure]:>20.2f}" for run in row)
        middle = "".join(f" {each[figure]:>20.2f}" for each in medians)
        yield f"{'  median':<14}{middle} {document['ratios'][figure]:>16.3f}"
    yield from (f"the second alone had {name}={value}" for name, value in document["second_alone"].items())
    yield from (f"WRONG: {each}" for each in document["wrong"])


def _medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {figure: statistics.median(run[figure] for run in runs) for figure in FIGURES}


def _once(tree: Path, variables: Mapping[str, str], options: Options) -> dict[str, Any]:
    with started(tree, variables) as settings:
        measured = Bench(settings, options, Shop(settings)).ordinary_load("orders")
        wrong = wrong_statuses(measured, {PLACED: options.orders}) + _deviations(tree, settings)
    told = measured.document() | {"post_p99_ms": measured.post_ms["p99"], "wrong": wrong}
    say("  " + ", ".join(f"{told[figure]:.2f} {title}" for figure, title in FIGURES.items()))
    return told


def _deviations(tree: Path, settings: Settings) -> list[str]:
    """What the revision's own reconcile has to say: it knows its own tables."""
    environment = inherited() | {"PYTHONPATH": str(tree), f"{PREFIX}STATE_DIR": settings.state_dir}
    command = [sys.executable, "-m", "conveyor", "reconcile"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()


@contextmanager
def _checked_out(revisions: Sequence[str]) -> Iterator[dict[str, Path]]:
    """A work tree for each revision, by its name for people; removed afterwards. Raises ConveyorError."""
    with tempfile.TemporaryDirectory(prefix="conveyor-compared-") as folder:
        trees = {f"{letter}: {each}": Path(folder) / letter for letter, each in zip("AB", revisions, strict=True)}
        try:
            for revision, tree in zip(revisions, trees.values(), strict=True):
                _git("worktree", "add", "--detach", str(tree), revision)
            yield trees
        finally:
            for tree in trees.values():
                if tree.exists():
                    _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ConveyorError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")
