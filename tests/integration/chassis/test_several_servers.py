"""A URL of PostgreSQL with several servers: the one that is there, and that takes changes, is used."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from chassis.database import Fault, engine_of, fault_of
from chassis.postgresql_url import url_of
from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from tests.e2e.stack import PYTHON, ROOT


@pytest.mark.parametrize(
    ("url", "host", "port", "attributes"),
    [
        ("postgresql://u:p%40q@one:1,two:2/shop", "one,two", "1,2", "read-write"),
        ("postgresql://u@one,two:2/shop?sslmode=require", "one,two", "5432,2", "read-write"),
        ("postgresql://one:1,[::1]:2,[::2]/shop", "one,::1,::2", "1,2,5432", "read-write"),
        ("postgresql://u@one:1,two:2/shop?target_session_attrs=any", "one,two", "1,2", "any"),
        ("postgresql:///shop?host=one,two&port=1,2", "one,two", "1,2", "read-write"),
    ],
)
def test_is_read_as_libpq_reads_it(url: str, host: str, port: str, attributes: str) -> None:
    read = url_of(url)
    assert (read.query["host"], read.query["port"], read.query["target_session_attrs"]) == (host, port, attributes)
    assert read.database == "shop"
    assert url_of("postgresql://u:p%40q@one:1,two:2/shop").password == "p@q"


def test_of_one_server_nothing_is_changed() -> None:
    for url in ("postgresql://u:p@one:1/shop", "postgresql:///shop?host=/run/postgresql", "postgresql://[::1]:1/s"):
        assert url_of(url) == make_url(url)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def beside(url: str, port: int) -> str:
    """This URL, with a server on that port before it."""
    there = make_url(url)
    login = f"{there.username}:{there.password}"
    return f"postgresql://{login}@127.0.0.1:{port},127.0.0.1:{there.port}/{there.database}"


@pytest.mark.parametrize("first", ["closed", "silent"])
def test_processes_use_the_one_that_is_there(first: str, postgres: Postgres, silent: int, databases: Settings) -> None:
    port = silent if first == "silent" else free_port()
    engine = engine_of(beside(postgres.service_url("sales"), port), "test", connect_timeout=2)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 7")).scalar_one() == 7
    engine.dispose()


@pytest.mark.parametrize("command", [("migrate", "sales"), ("quarantine", "list")])
@pytest.mark.parametrize("first", ["closed", "silent"])
def test_commands_that_heed_silence_do_too(
    first: str, command: tuple[str, ...], postgres: Postgres, silent: int, databases: Settings
) -> None:
    url = beside(postgres.service_url("sales"), silent if first == "silent" else free_port())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    environment |= {"CONVEYOR_SALES_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(
        [PYTHON, "-m", "conveyor", *command], env=environment, capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 45


def test_a_server_that_has_become_a_standby_is_left(postgres: Postgres, databases: Settings) -> None:
    name = "becomes_a_standby"
    url = postgres.create_database(name, "sales")
    engine = engine_of(url, "test", pool_size=1, max_overflow=0)
    try:
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with engine.connect() as connection, pytest.raises(DBAPIError) as refused:
            connection.execute(text("CREATE TABLE t ()"))
        assert fault_of(refused.value) is Fault.AWAY
        # As after a fail-over: where a new connection leads to, changes are taken.
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t ()"))
    finally:
        engine.dispose()
        postgres.drop_database(name)
