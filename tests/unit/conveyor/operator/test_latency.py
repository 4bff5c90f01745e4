"""`conveyor latency`: what is measured, and of what."""

import json
from pathlib import Path
from typing import Any

import pytest

from chassis.settings import read
from conveyor.latency import WARM_UP, percentiles
from conveyor.own_stack import own_stack

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
EVENTS = [
    {"at": "2026-11-22T10:00:00+00:00", "to_status": "Pending"},
    {"at": "2026-11-22T10:00:00.040+00:00", "to_status": "Pending"},
    {"at": "2026-11-22T10:00:00.125+00:00", "to_status": "Pending Shipment"},
    {"at": "2026-11-22T10:00:09+00:00", "to_status": "In Transit"},
]


@pytest.fixture
def shop(told: Any) -> Any:
    told.answers = {
        "POST /customers": (201, {"id": "c"}),
        "POST /products": (201, {"id": "p"}),
        "PATCH /products/p": (200, {}),
        "POST /orders": (201, {"id": ID, "status": "Pending Shipment"}),
        f"GET /orders/{ID}": (200, {"id": ID, "status": "Pending Shipment"}),
        f"GET /orders/{ID}/events": (200, {"items": EVENTS, "next_cursor": None}),
        f"POST /orders/{ID}/cancel": (202, {"id": ID, "status": "Cancelling"}),
    }
    return told


def test_it_measures_both_kinds_of_order_and_tidies_up(shop: Any, conveyor: Any) -> None:
    result = conveyor("latency", "--orders", "5", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert answer["between_the_events"] == {"p50": 125.0, "p95": 125.0, "p99": 125.0, "max": 125.0}
    assert 0 < answer["post"]["p50"] < 1_000
    asked = [what for what, _, _ in shop.asked]
    waiting = [headers.get("Prefer") for what, _, headers in shop.asked if what == "POST /orders"]
    assert waiting == [None, "wait=10"] * (5 + WARM_UP)
    assert asked.count(f"POST /orders/{ID}/cancel") == 2 * (5 + WARM_UP)
    assert asked[-1] == "PATCH /products/p"


def test_an_order_that_did_not_get_there_is_named_and_fails(shop: Any, conveyor: Any) -> None:
    shop.answers["POST /orders"] = (201, {"id": ID, "status": "Pending"})
    result = conveyor("latency", "--orders", "1")
    assert result.exit_code == 1
    assert f"order {ID} was not Pending Shipment after 10 s" in result.stderr
    assert "to Pending Shipment           -" in result.stdout


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([4.0, 1.0, 3.0, 2.0]) == {"p50": 2.0, "p95": 4.0, "p99": 4.0, "max": 4.0}
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_a_stack_of_its_own_has_ports_that_nobody_shares(tmp_path: Path) -> None:
    variables = own_stack(tmp_path)
    ports = [value.rpartition(":")[2] for name, value in variables.items() if name.endswith(("_PORT", "_RELAY"))]
    assert len(set(ports)) == len(ports) == 14
    assert read(variables).state_dir == str(tmp_path)
