"""The table: which verdict a figure gets, and when it gets none."""

from pathlib import Path
from typing import Any

import pytest

from conveyor.bench import table
from conveyor.bench.run import Options
from conveyor.bench.table import ROWS, lines

RESULTS: dict[str, dict[str, Any]] = {
    "orders": {
        "completed_per_second": 600.0,
        "accepted_per_second": 650.0,
        "machine_cpu_ms_per_order": 2.5,
        "post_ms": {"p99": 130.0},
        "memory_mib": 500.0,
        "wrong": [],
    },
    "naive": {"completed_per_second": 60.0, "wrong": []},
    "ceiling": {"completed_per_second": 1_200.0},
    "seeded": {"completed_per_second": 495.0, "beside": {"completed_per_second": 500.0}, "wrong": []},
}


def verdicts(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {row.name: row.verdict(results) for row in ROWS}


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        ("completed orders/s, as a multiple of naive", "reached must"),  # 10 x, between 8 and 12
        ("the same as a share of the SQL-only ceiling", "reached must"),  # 50 %
        ("whole-machine CPU ms per order, clients excluded", "reached must"),  # less is better
        ("POST p99 at that load", "missed"),
        ("rate with 1,000,000 orders in the databases against empty ones", "reached aim"),  # 99 %
        ("memory of the whole stack at that load (PSS, without Flower)", "reached aim"),
        ("idle, one order at a time: POST to Pending Shipment, p50", "not measured"),
    ],
)
def test_a_figure_is_held_against_must_and_aim(measure: str, verdict: str) -> None:
    assert verdicts(RESULTS)[measure] == verdict


def test_a_fast_wrong_answer_is_no_result() -> None:
    wrong = RESULTS | {"seeded": {**RESULTS["seeded"], "completed_per_second": 9_000.0, "wrong": ["stock x"]}}
    told = verdicts(wrong)
    assert told["rate with 1,000,000 orders in the databases against empty ones"] == "WRONG"
    assert told["POST p99 at that load"] == "missed"


def test_a_ratio_to_an_ordinary_load_stands_on_the_one_that_was_measured_beside_it() -> None:
    (row,) = (row for row in ROWS if row.parts == ("seeded",))
    assert row.measured(RESULTS) == 99.0
    elsewhere = {**RESULTS["seeded"], "beside": {}}
    assert row.verdict(RESULTS | {"seeded": elsewhere}) == "not measured"


def test_what_failed_or_was_not_asked_for_is_not_measured_and_breaks_no_other_row() -> None:
    told = verdicts({"naive": {"failed": "it did not start"}, "orders": RESULTS["orders"]})
    assert told["completed orders/s, as a multiple of naive"] == "not measured"
    assert told["whole-machine CPU ms per order, clients excluded"] == "reached must"
    assert set(verdicts({}).values()) == {"not measured"}


def test_memory_that_nobody_could_read_is_not_measured() -> None:
    elsewhere = {"orders": {**RESULTS["orders"], "memory_mib": None}}
    assert verdicts(elsewhere)["memory of the whole stack at that load (PSS, without Flower)"] == "not measured"


def test_the_printed_table_has_every_row_with_must_aim_and_figure() -> None:
    head, *printed = lines(RESULTS)
    assert head.split() == ["measure", "must", "aim", "measured", "verdict"]
    assert len(printed) == len(ROWS) == 13
    assert "8.00 x   12.00 x    10.00 x  reached must" in printed[0]
    for row, line in zip(table.document(RESULTS), printed, strict=True):
        assert row["verdict"] == line.split("  ")[-1]


def test_loads_other_than_those_of_the_table_are_a_quick_look() -> None:
    assert not Options().quick
    assert not Options(book=Path("other.csv")).quick
    assert Options(orders=500).quick
    assert Options(clients=64).quick
