"""The table: what is measured, what it must reach, what it aims for, and what came out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

Results = Mapping[str, Mapping[str, Any]]

NOT_MEASURED, WRONG = "not measured", "WRONG"


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. ``value`` finds it in the results and raises KeyError where it is not; ``parts`` are those whose
    answers it stands on. ``smaller``: less is better. ``form`` shows a value."""

    name: str
    parts: tuple[str, ...]
    must: float
    aim: float
    value: Callable[[Results], float | None]
    form: str = "{:.2f} x"
    smaller: bool = False

    def measured(self, results: Results) -> float | None:
        """None where something that it takes was not measured."""
        try:
            return self.value(results)
        except (KeyError, TypeError, ZeroDivisionError):
            return None

    def verdict(self, results: Results) -> str:
        """``reached aim``, ``reached must``, ``missed``, ``not measured``, or ``WRONG``: fast and wrong is no use."""
        if any(results.get(part, {}).get("wrong") for part in self.parts):
            return WRONG
        value = self.measured(results)
        if value is None:
            return NOT_MEASURED
        for mark, word in ((self.aim, "reached aim"), (self.must, "reached must")):
            if value <= mark if self.smaller else value >= mark:
                return word
        return "missed"


def lines(results: Results) -> Iterator[str]:
    """The table, for people."""
    yield f"{'measure':<74} {'must':>9} {'aim':>9} {'measured':>10}  verdict"
    for row in ROWS:
        value = row.measured(results)
        shown = "-" if value is None else row.form.format(value)
        marks = f"{row.form.format(row.must):>9} {row.form.format(row.aim):>9}"
        yield f"{row.name:<74} {marks} {shown:>10}  {row.verdict(results)}"


def document(results: Results) -> list[dict[str, Any]]:
    """The table, for programs."""
    return [
        {
            "measure": row.name,
            "must": row.must,
            "aim": row.aim,
            "measured": row.measured(results),
            "verdict": row.verdict(results),
        }
        for row in ROWS
    ]


def _ratio(part: str, figure: str, to: str, to_figure: str) -> Callable[[Results], float]:
    return lambda results: float(results[part][figure] / results[to][to_figure])


def _to_ordinary(part: str, figure: str, of_ordinary: str) -> Callable[[Results], float]:
    """Against an ordinary load that was measured right before and after the part."""
    return lambda results: float(results[part][figure] / results[part]["beside"][of_ordinary])


def _percent(part: str, figure: str, to: str, to_figure: str) -> Callable[[Results], float]:
    share = _ratio(part, figure, to, to_figure)
    return lambda results: 100 * share(results)


def _figure(*path: str) -> Callable[[Results], Any]:
    return lambda results: reduce(getitem, path, results)


RATE = "completed_per_second"
MS = "{:.1f} ms"

ROWS = (
    Row(
        "completed orders/s, as a multiple of naive", ("orders", "naive"), 8, 12, _ratio("orders", RATE, "naive", RATE)
    ),
    Row(
        "the same as a share of the SQL-only ceiling",
        ("orders",),
        40,
        60,
        _percent("orders", RATE, "ceiling", RATE),
        "{:.1f} %",
    ),
    Row(
        "whole-machine CPU ms per order, clients excluded",
        ("orders",),
        3.3,
        2.0,
        _figure("orders", "machine_cpu_ms_per_order"),
        "{:.2f} ms",
        smaller=True,
    ),
    Row(
        "POST p99 at that load",
        ("orders",),
        120,
        60,
        _figure("orders", "post_ms", "p99"),
        MS,
        smaller=True,
    ),
    Row(
        "idle, one order at a time: POST to Pending Shipment, p50",
        ("idle",),
        50,
        25,
        _figure("idle", "to_pending_shipment", "p50"),
        MS,
        smaller=True,
    ),
    Row(
        "replay of an order book: orders/s as a multiple of naive",
        ("replay", "naive-replay"),
        4,
        8,
        _ratio("replay", RATE, "naive-replay", RATE),
    ),
    Row(
        "flash sale: ended orders/s against the ordinary load",
        ("flash",),
        0.5,
        1,
        _to_ordinary("flash", RATE, RATE),
    ),
    Row(
        "rate with 1,000,000 orders in the databases against empty ones",
        ("seeded",),
        90,
        98,
        lambda results: 100 * _to_ordinary("seeded", RATE, RATE)(results),
        "{:.1f} %",
    ),
    Row(
        "GET /orders/{id} through the gateway, requests/s against POST accept/s",
        ("reads",),
        2,
        5,
        _to_ordinary("reads", "per_second", "accepted_per_second"),
    ),
    Row(
        "GET /orders, filtered and sorted, first page and after 1,000 cursors: p99",
        ("list",),
        50,
        15,
        _figure("list", "worst_p99_ms"),
        MS,
        smaller=True,
    ),
    Row(
        "PATCH of a delivery's status until the order shows it, p50 idle",
        ("parcel",),
        50,
        25,
        _figure("parcel", "shown_ms", "p50"),
        MS,
        smaller=True,
    ),
    Row(
        "courier updates/s until all orders show them, against orders/s",
        ("courier",),
        1,
        2,
        _to_ordinary("courier", "per_second", RATE),
    ),
    Row(
        "memory of the whole stack at that load (PSS, without Flower)",
        ("orders",),
        1024,
        600,
        _figure("orders", "memory_mib"),
        "{:.0f} MiB",
        smaller=True,
    ),
)
