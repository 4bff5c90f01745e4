"""Which system the operator's commands work on."""

import os
from pathlib import Path

import pytest

from chassis.errors import SettingsError
from chassis.settings import read
from conveyor.children import variables
from conveyor.client import Gateway, NoGateway
from conveyor.stack import Stack, only_one
from conveyor.target import leads_elsewhere, target

STACK = {
    "CONVEYOR_BROKER_URL": "amqp://stack/shop",
    "CONVEYOR_SALES_DATABASE_URL": "postgresql://stack/ecommerce_db",
    "CONVEYOR_GATEWAY_URL": "http://127.0.0.1:4001",
}


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    Stack(1, True, STACK, {}).save(tmp_path)
    return {"CONVEYOR_STATE_DIR": str(tmp_path)}


def test_without_anything_in_the_environment_it_is_the_stack_that_runs_here(here: dict[str, str]) -> None:
    found = target(here)
    assert (found.broker_url, found.gateway_url) == ("amqp://stack/shop", "http://127.0.0.1:4001")
    assert not leads_elsewhere(here)


def test_other_settings_of_the_environment_hold_beside_the_stack(here: dict[str, str]) -> None:
    found = target({**here, "CONVEYOR_MAX_ORDER_LINES": "7", "CONVEYOR_BROKER_URL": "amqp://stack/shop"})
    assert (found.max_order_lines, found.sales_database_url) == (7, "postgresql://stack/ecommerce_db")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("BROKER_URL", "amqp://other/place"),
        ("GATEWAY_URL", "http://other"),
        ("INVENTORY_DATABASE_URL", "postgresql://other/place"),
    ],
)
def test_an_environment_that_leads_elsewhere_is_not_mixed_with_the_stack(
    here: dict[str, str], name: str, url: str
) -> None:
    given = {**here, f"CONVEYOR_{name}": url}
    assert leads_elsewhere(given)
    assert target(given).sales_database_url == ""


def test_where_no_stack_has_run_it_is_the_environment_alone(tmp_path: Path) -> None:
    given = {"CONVEYOR_STATE_DIR": str(tmp_path), "CONVEYOR_BROKER_URL": "amqp://mine"}
    assert target(given).broker_url == "amqp://mine"


def test_an_unknown_variable_is_refused(here: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="CONVEYOR_BROKER"):
        target({**here, "CONVEYOR_BROKER": "amqp://mistyped"})


def stack_in(folder: Path) -> Path:
    state = folder / ".conveyor"
    with only_one(state):
        Stack(1, True, STACK, {}).save(state)
    return state


def test_a_stack_is_found_upward_from_the_folder_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = stack_in(tmp_path)
    (tmp_path / "docs" / "pages").mkdir(parents=True)
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    assert (target().state_dir, target().gateway_url) == (".conveyor", "http://127.0.0.1:4001")
    assert capsys.readouterr().err == ""  # it is in sight
    monkeypatch.chdir(tmp_path / "docs" / "pages")
    assert (target().state_dir, target().gateway_url) == (str(state), "http://127.0.0.1:4001")
    assert capsys.readouterr().err == f"conveyor: working on the stack of {state}\n"
    assert target({"CONVEYOR_STATE_DIR": ".conveyor"}).gateway_url == ""  # named: this folder's, and there is none


def test_where_no_stack_is_and_none_is_named_nobody_s_port_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert target({}).gateway_url == ""
    with pytest.raises(NoGateway, match="no stack runs in this folder or above it"):
        Gateway(target({}).gateway_url)
    assert target({"CONVEYOR_PORT_BASE": "25000"}).gateway_url == "http://127.0.0.1:25001"
    assert target({"CONVEYOR_GATEWAY_PORT": "4001"}).gateway_url == "http://127.0.0.1:4001"


def test_a_stack_that_another_user_put_above_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert target({}).gateway_url == "http://127.0.0.1:4001"  # the folder's own is what it says
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert target({}).gateway_url == ""


def test_a_base_of_ports_that_is_not_the_stack_s_leads_elsewhere(here: dict[str, str]) -> None:
    assert leads_elsewhere({**here, "CONVEYOR_PORT_BASE": "25000"})
    Stack(1, True, variables(read({"CONVEYOR_PORT_BASE": "25000"})), {}).save(Path(here["CONVEYOR_STATE_DIR"]))
    assert not leads_elsewhere({**here, "CONVEYOR_PORT_BASE": "25000"})
    assert target({**here, "CONVEYOR_PORT_BASE": "25000"}).postgres_port == 25030
