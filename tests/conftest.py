"""Fixtures: real servers of the tests' own, migrated databases, sessions on them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database
from chassis.migrations import migrate
from chassis.settings import Settings, settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ, installed
from conveyor.embedded.valkey import Valkey
from tests import release_before, time_limits

SERVICES = ("sales", "inventory", "delivery")
E2E = Path(__file__).parent / "e2e"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each has a time limit. With two test processes a file stays together, and so do tests that share whole stacks."""
    time_limits.limit(item)
    item.add_marker(pytest.mark.xdist_group("e2e" if item.path.is_relative_to(E2E) else str(item.path)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: the other test process does the rest meanwhile."""
    items.sort(key=lambda item: not item.path.is_relative_to(E2E))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"), free_port()).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"), free_port()).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq_installed() -> None:
    """Where the machine has no RabbitMQ the test is skipped, and in CI that is a failure."""
    if installed() is None:
        missing = "needs RabbitMQ: install rabbitmq-server"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ node for all tests; each has a virtual host of its own."""
    ports = {name: free_port() for name in ("port", "dist_port", "epmd_port", "management_port")}
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), **ports).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Iterator[Settings]:
    """Settings that know three migrated databases, in this process's environment too."""
    variables = {f"CONVEYOR_{each.upper()}_DATABASE_URL": postgres.service_url(each) for each in SERVICES}
    # In-process code wakes nobody: no relay listens on the discard port.
    variables |= {f"CONVEYOR_{each.upper()}_RELAY": "127.0.0.1:9" for each in SERVICES}
    os.environ.update(variables)
    settings.cache_clear()
    for each in SERVICES:
        migrate(each)
    yield settings()
    for name in variables:
        os.environ.pop(name)
    settings.cache_clear()


@pytest.fixture(scope="session")
def sales_sessions(databases: Settings) -> sessionmaker[Session]:
    return open_database("sales", databases)


@pytest.fixture(scope="session")
def inventory_sessions(databases: Settings) -> sessionmaker[Session]:
    return open_database("inventory", databases)


@pytest.fixture(scope="session")
def delivery_sessions(databases: Settings) -> sessionmaker[Session]:
    return open_database("delivery", databases)


@pytest.fixture(scope="session")
def tree_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before."""
    return release_before.check_out(tmp_path_factory.mktemp("release") / "before")
