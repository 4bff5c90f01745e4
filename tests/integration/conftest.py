"""Databases and virtual hosts of a test's own, for what may not happen in those that the others share."""

from collections.abc import Callable, Iterator

import pytest
from kombu import Connection
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import open_database
from chassis.migrations import migrate
from chassis.settings import Settings, settings
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from tasks import topology

Scratch = Callable[[str], sessionmaker[Session]]


@pytest.fixture
def scratch_database(postgres: Postgres, databases: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    """Makes a migrated database for a service, and this process's settings lead to it; gone after the test."""
    made: dict[str, sessionmaker[Session]] = {}

    def make(service: str) -> sessionmaker[Session]:
        name = f"scratch_{uuid7().hex}"
        monkeypatch.setenv(f"CONVEYOR_{service.upper()}_DATABASE_URL", postgres.create_database(name, service))
        settings.cache_clear()
        migrate(service)
        made[name] = open_database(service, settings())
        return made[name]

    yield make
    monkeypatch.undo()
    settings.cache_clear()
    for name, sessions in made.items():
        sessions.kw["bind"].dispose()
        postgres.drop_database(name)


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The URL of a virtual host of the test's own, with the topology declared."""
    name = f"test-{uuid7().hex}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection:
        topology.declare(connection)
    yield url
    rabbitmq.remove_vhost(name)
