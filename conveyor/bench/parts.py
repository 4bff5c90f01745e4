"""Every part of a run, in the order of a whole one, and how they are run one after the other."""

import subprocess
import time
from collections.abc import Callable, Sequence

import psycopg2

from chassis.errors import ConveyorError
from conveyor.bench import ceiling, loads, naive, parcels, reading
from conveyor.bench.pace import pace
from conveyor.bench.run import Bench, Document, NotMeasured, deviations, say

PARTS: dict[str, Callable[[Bench], Document]] = {
    "ceiling": ceiling.ceiling,
    "orders": loads.orders,
    "naive": naive.naive,
    "idle": loads.idle,
    "replay": loads.replay,
    "naive-replay": naive.naive_replay,
    "flash": loads.flash,
    "reads": reading.reads,
    "parcel": parcels.parcel,
    "courier": parcels.courier,
    "seeded": loads.seeded,
    "list": reading.lists,
}
#: These change nothing, or nothing of Conveyor's: the databases need no check after them.
HARMLESS = frozenset({"naive", "naive-replay", "ceiling", "list"})

#: What a part may meet that is no fault of this program's.
FAILURES = (ConveyorError, psycopg2.Error, OSError, subprocess.CalledProcessError)


def run(bench: Bench, chosen: Sequence[str]) -> None:
    """Run these parts, and check the databases after each that changes them. A part that fails stops no other."""
    for name in PARTS:
        if name not in chosen:
            continue
        say(f"{name} ...")
        began, at_pace = time.monotonic(), pace()
        try:
            found = PARTS[name](bench) | {"pace_ms": at_pace}
        except NotMeasured as why:
            say(f"  not measured: {why}")
            continue
        except FAILURES as error:
            say(f"{name} FAILED: {error}")
            bench.results[name] = {"failed": str(error)}
            continue
        bench.results[name] = found
        if name not in HARMLESS:
            say("  checking the databases")
            found.setdefault("wrong", []).extend(deviations(bench.settings))
        for each in found.get("wrong", []):
            say(f"  WRONG: {each}")
        say(f"  {name} took {time.monotonic() - began:.0f} s")
