"""A service's readiness with a real database: named when it is away or silent, and not when it is busy."""

import socket
import time
from dataclasses import replace

import pytest

from chassis import readiness
from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from inventory.app import create_app


@pytest.fixture
def known(databases: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a service that has everything; what is found counts for no time at all."""
    monkeypatch.setattr(readiness, "FRESH_FOR", 0.0)
    return replace(databases, redis_url=valkey.url(), database_pool=1)


def test_a_service_that_has_everything_is_ready(known: Settings) -> None:
    client = create_app(known).test_client()
    for _ in range(3):
        assert client.get("/health/ready").json == {"status": "ok", "checked": ["database", "redis"]}


def test_a_service_without_redis_is_ready_and_names_it(known: Settings) -> None:
    nowhere = replace(known, redis_url=f"redis://127.0.0.1:{free_port()}")
    ready = create_app(nowhere).test_client().get("/health/ready")
    assert (ready.status_code, ready.json["status"], ready.json["down"]) == (200, "degraded", ["redis"])


def test_a_service_without_its_database_is_not_ready(known: Settings) -> None:
    nowhere = replace(known, inventory_database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    ready = create_app(nowhere).test_client().get("/health/ready")
    assert (ready.status_code, ready.json["down"]) == (503, ["database"])
    assert "127.0.0.1" not in ready.text


def test_a_silent_database_keeps_nobody_waiting_for_long(known: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/none"
        client = create_app(replace(known, inventory_database_url=url)).test_client()
        for _ in range(2):
            began = time.monotonic()
            ready = client.get("/health/ready")
            assert time.monotonic() - began < 2.5
            assert (ready.status_code, ready.json["down"]) == (503, ["database"])


def test_a_service_whose_connections_are_all_at_work_is_ready(known: Settings) -> None:
    app = create_app(known)
    with app.extensions["database"]() as session:
        session.connection()  # the only one
        assert app.test_client().get("/health/ready").status_code == 200
