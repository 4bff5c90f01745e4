"""A connection that nobody used for a while is tried first: a server that restarted costs no request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from uuid_utils.compat import uuid7

from chassis import database
from chassis.migrations import migrate
from chassis.settings import settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from sales.app import create_app


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path, free_port()).start()
    yield server
    server.stop()


@pytest.fixture
def client(own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_URL", own_postgres.service_url("sales"))
    settings.cache_clear()
    migrate("sales")
    yield create_app(settings()).test_client()
    monkeypatch.undo()
    settings.cache_clear()


def register(client: FlaskClient) -> Any:
    details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
    return client.post("/customers", json=details)


def test_the_first_request_after_a_restart_of_postgresql_is_served(
    client: FlaskClient, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE", 0.0)  # however quickly it restarts
    assert register(client).status_code == 201
    own_postgres.stop()
    own_postgres.start()
    assert register(client).status_code == 201


def test_the_check_of_idle_connections_is_what_serves_it(
    client: FlaskClient, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE", float("inf"))
    assert register(client).status_code == 201
    own_postgres.stop()
    own_postgres.start()
    assert register(client).status_code == 503
    assert register(client).status_code == 201
