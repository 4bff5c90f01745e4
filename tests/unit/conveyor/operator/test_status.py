"""`conveyor status` where things are down: named, never a crash."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conveyor.stack import Stack, only_one


def test_everything_that_is_down_is_named(told: Any, conveyor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told.answers["GET /health"] = (
        503,
        {"status": "degraded", "services": {"sales": "ok", "delivery": "unavailable"}, "down": ["delivery"]},
    )
    for service in ("sales", "inventory"):
        monkeypatch.setenv(f"CONVEYOR_{service.upper()}_DATABASE_URL", "postgresql://x:secret@127.0.0.1:9/x")
    monkeypatch.setenv("CONVEYOR_BROKER_URL", "amqp://x:secret@127.0.0.1:9/x")
    result = conveyor("status", "--json")
    down = json.loads(result.output)["down"]
    assert list(down) == ["delivery", "broker", "redis", "sales database", "inventory database", "delivery database"]
    assert down["delivery"] == "the gateway says: unavailable"
    assert "not set" in down["delivery database"]
    assert "secret" not in result.output
    assert result.exit_code == 1


def test_a_gateway_that_is_away_hides_nothing(conveyor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_GATEWAY_URL", "http://127.0.0.1:9")
    lines = conveyor("status").output.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "DOWN  gateway",
        "DOWN  broker",
        "DOWN  redis",
        "DOWN  sales database",
        "DOWN  inventory database",
        "DOWN  delivery database",
    ]


def test_the_processes_of_the_stack_that_runs_here_are_listed(
    told: Any, conveyor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CONVEYOR_GATEWAY_URL")
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "worker-sales").touch()
    processes = {"sales": os.getpid(), "worker-sales": os.getpid(), "relay-sales": os.getpid(), "flower": 2**22 + 1}
    with only_one(tmp_path):
        Stack(os.getpid(), True, {"CONVEYOR_GATEWAY_URL": told.url}, processes).save(tmp_path)
        answer = json.loads(conveyor("status", "--json").output)
    assert {each["name"]: each["state"] for each in answer["processes"]} == {
        "sales": "running",
        "worker-sales": "running",
        "relay-sales": "starting",
        "flower": "dead",
    }
    assert "has ended" in answer["down"]["flower"]


def test_where_no_stack_runs_that_is_said(conveyor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVEYOR_GATEWAY_URL")
    assert "`conveyor run` starts one" in conveyor("status").output.splitlines()[0]
