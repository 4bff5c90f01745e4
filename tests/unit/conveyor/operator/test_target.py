"""Which system the operator's commands work on."""

from pathlib import Path

import pytest

from chassis.errors import SettingsError
from conveyor.stack import Stack
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
