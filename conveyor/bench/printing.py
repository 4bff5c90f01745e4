"""What a run found, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from conveyor.bench import table
from conveyor.bench.measure import ELSE
from conveyor.bench.run import Options

#: The share of the machine's CPU that others may take until it is worth a word: the kernel's own is less.
NOISE = 0.15


def report(document: Mapping[str, Any], results: table.Results) -> Iterator[str]:
    """Machine, versions, settings, every load with its CPU and memory by kind of process, and the table."""
    for name in ("machine", "versions", "postgresql", "settings", "conditions"):
        told = document[name]
        yield f"{name + ':':<12} {', '.join(f'{key} {value}' for key, value in told.items()) or 'all at their default'}"
    yield f"{'queues:':<12} {document['queues']}"
    paces = [f"{name} {found['pace_ms']}" for name, found in results.items() if "pace_ms" in found]
    yield f"{'pace:':<12} {', '.join(paces)} (ms of CPU for a fixed piece of Python, before each part)"
    for name, found in results.items():
        yield ""
        if "failed" in found:
            yield f"{name}: FAILED: {found['failed']}"
        elif "cpu_ms_per_order" in found:
            yield from _load(name, found)
        else:
            yield from _figures(name, found)
        yield from (f"  WRONG: {each}" for each in found.get("wrong", []))
    yield ""
    yield from table.lines(results)
    if document["quick"]:
        yield f"A quick look, not the table's own conditions: these are {_short(Options().document())}."


def _figures(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in found.items() if not isinstance(value, dict | list) and key != "pace_ms"}
    yield f"{name}: {', '.join(f'{key} {_short(value)}' for key, value in plain.items())}"
    yield from (f"  {key} {_short(value)}" for key, value in found.items() if isinstance(value, dict))


def _load(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    post = found["post_ms"]
    yield (
        f"{name}: {found['accepted']:,} accepted, {found['completed_per_second']:.1f} completed/s,"
        f" {found['accepted_per_second']:.1f} accepted/s, POST p50 {_ms(post['p50'])} p99 {_ms(post['p99'])}"
        f" max {_ms(post['max'])}, turned away {found['turned_away']}"
    )
    kinds, machine = found["cpu_ms_per_order"], found["machine_cpu_ms_per_order"]
    yield (
        f"  CPU ms per order: {machine:.2f} of the machine; beside that the clients"
        f" {found['driver_cpu_ms_per_order']:.2f}, this measurement {found['watching_cpu_ms_per_order']:.2f}"
    )
    shown = sorted(kinds.items(), key=lambda each: -each[1])
    yield "    " + ", ".join(f"{kind} {used:.2f}" for kind, used in shown)
    if kinds[ELSE] > NOISE * machine and len(kinds) > 1:
        yield f"    NOISE: {100 * kinds[ELSE] / machine:.0f} % of this CPU is no process of the system's"
    sizes = sorted(found["memory_bytes"].items(), key=lambda each: -each[1])
    if sizes:
        yield "  memory MiB (PSS): " + ", ".join(f"{kind} {size / 1_048_576:.0f}" for kind, size in sizes)
    else:
        yield "  CPU by kind and memory: not measured, the processes run elsewhere"
    for kind, count in found["memory_unread_processes"].items():
        yield f"  NOT READ: the memory of {count} processes of {kind}: only their own user or root may"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_short(each)}" for key, each in value.items()) + ")"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
