"""`conveyor migrate` on the way back: it asks, it names what is lost, and it empties no database that is in use."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from chassis.settings import settings
from conveyor.cli import cli

Migrate = Callable[..., Result]


@pytest.fixture
def migrate(own_shop: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Migrate]:
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVEYOR_INVENTORY_DATABASE_URL", own_shop.settings.inventory_database_url)
    settings.cache_clear()
    yield lambda *arguments, said="": CliRunner().invoke(cli, ["migrate", "inventory", *arguments], input=said)
    settings.cache_clear()


def products(shop: Any) -> int | None:
    """How many products there are; None without their table."""
    answer = shop.postgres.execute("SELECT to_regclass('products') IS NOT NULL", f"{shop.name}_inventory")
    if not answer[0][0]:
        return None
    return int(shop.postgres.execute("SELECT count(*) FROM products", f"{shop.name}_inventory")[0][0])


def test_the_way_back_to_nothing_needs_the_name_typed(own_shop: Any, migrate: Migrate) -> None:
    for said in ("", "yes\n", "sales\n"):
        result = migrate("--to", "base", said=said)
        assert result.exit_code != 0
        assert "nothing was done" in str(result.exception)
    assert products(own_shop) == 3
    result = migrate("--to", "base", said="inventory\n")
    assert "All data of inventory is lost" in result.output
    assert result.exit_code == 0
    assert products(own_shop) is None
    assert migrate().exit_code == 0
    assert products(own_shop) == 0


def test_a_step_back_asks_too(own_shop: Any, migrate: Migrate) -> None:
    assert "nothing was done" in str(migrate("--to", "-1").exception)
    assert "nothing was done" in str(migrate("--to", "0001").exception)
    assert migrate("--to", "head").exit_code == 0


@pytest.mark.parametrize("to", ["base", "-1", "0001"])
def test_a_database_that_processes_use_goes_no_way_back(own_shop: Any, migrate: Migrate, to: str) -> None:
    with own_shop.sessions["inventory"]() as session:
        session.execute(text("SELECT 1"))
        result = migrate("--to", to, "--yes")
        said = str(result.exception)
    assert said.startswith("processes are connected to inventory's database (conveyor-inventory: 1): stop them first")
    assert products(own_shop) == 3


@pytest.mark.parametrize("to", ["nope", "+9", "-9", "", "0001:base", "' OR 1=1"])
def test_a_revision_that_does_not_exist_is_one_line_with_those_that_do(
    own_shop: Any, migrate: Migrate, to: str
) -> None:
    result = migrate("--to", to, "--yes")
    said = str(result.exception)
    assert said.startswith(f"there is no way to {to!r} for inventory's database: its revisions are 0001")
    assert len(said.splitlines()) == 1
    assert products(own_shop) == 3
