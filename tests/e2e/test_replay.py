"""A small order book that is sent twice."""

import json
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT, Stack

pytestmark = pytest.mark.rabbitmq

BOOK = ROOT / "conveyor" / "samples" / "orders.csv"


def orders_in(stack: Stack) -> int:
    return sum(json.loads(stack.conveyor("status", "--json").stdout)["orders"].values())


def test_an_order_book_that_is_replayed_twice_makes_its_orders_once(stack: Stack, tmp_path: Path) -> None:
    command = ["replay", str(BOOK), "--rejects", str(tmp_path / "rejects.csv")]
    first = stack.conveyor(*command)
    assert first.returncode == 0, first.stdout + first.stderr
    after_first = orders_in(stack)
    second = stack.conveyor(*command)
    assert second.returncode == 0, second.stdout + second.stderr
    assert orders_in(stack) == after_first
    checked = stack.conveyor("reconcile", "--settled")
    assert (checked.returncode, "OK: the databases agree" in checked.stdout) == (0, True), checked.stdout
