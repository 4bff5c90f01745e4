"""A worker that somebody starts by hand finds the stack that runs here, and learns no more than its other workers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.settings import PREFIX, settings
from conveyor.stack import Stack
from conveyor.target import join

STACK = {
    "CONVEYOR_SALES_DATABASE_URL": "postgresql://sales:secret@127.0.0.1:15432/ecommerce_db",
    "CONVEYOR_INVENTORY_DATABASE_URL": "postgresql://inventory:secret@127.0.0.1:15432/inventory_db",
    "CONVEYOR_BROKER_URL": "amqp://conveyor:secret@127.0.0.1:15670/conveyor",
    "CONVEYOR_RELAY_GAP": "0.02",
}


@pytest.fixture(autouse=True)
def stack_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stack that wrote itself down, and an environment that says nothing but where."""
    monkeypatch.setattr(os, "environ", {"CONVEYOR_STATE_DIR": str(tmp_path)})
    Stack(supervisor=1, ready=True, environment=STACK, processes={}).save(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_the_stack_that_runs_here_is_found() -> None:
    assert settings().broker_url == ""

    joined = join("inventory_database_url", "broker_url")

    assert joined.broker_url == STACK["CONVEYOR_BROKER_URL"]
    assert joined.inventory_database_url == STACK["CONVEYOR_INVENTORY_DATABASE_URL"]
    assert joined.relay_gap == 0.02
    assert joined == settings()


def test_what_is_not_the_process_s_own_stays_unknown_to_it_and_to_its_children() -> None:
    assert join("inventory_database_url", "broker_url").sales_database_url == ""
    assert "CONVEYOR_SALES_DATABASE_URL" not in os.environ


def test_an_environment_that_leads_elsewhere_is_left_alone() -> None:
    os.environ[f"{PREFIX}BROKER_URL"] = "amqp://elsewhere/"

    joined = join("inventory_database_url", "broker_url")

    assert joined.broker_url == "amqp://elsewhere/"
    assert joined.inventory_database_url == ""


def test_what_the_environment_says_itself_comes_first() -> None:
    os.environ[f"{PREFIX}RELAY_GAP"] = "0.5"

    assert join("broker_url").relay_gap == 0.5
