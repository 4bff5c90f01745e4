"""A command that waits for a PostgreSQL that says nothing gives up; one whose statement takes long does not."""

import os
import signal
import time
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import extensions

from conveyor import silence
from conveyor.embedded.postgres import Postgres


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(silence, "PAUSE", 0.5)
    silence.heed_silence()
    yield
    extensions.set_wait_callback(None)


def test_a_statement_that_takes_long_is_waited_for(postgres: Postgres) -> None:
    assert postgres.execute("SELECT 7 FROM pg_sleep(1.5)") == [(7,)]


def test_a_server_that_says_nothing_any_more_is_given_up(postgres: Postgres) -> None:
    assert postgres.process is not None
    connection = psycopg2.connect(postgres.url())
    begun = time.monotonic()
    stopped = (postgres.process.pid, connection.info.backend_pid)  # each of PostgreSQL's processes leads a group
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(psycopg2.OperationalError, match="does not answer"):
            connection.cursor().execute("SELECT 1")
        with pytest.raises(psycopg2.OperationalError, match="does not answer"):
            psycopg2.connect(postgres.url())
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        connection.close()
    assert time.monotonic() - begun < 10
    assert postgres.execute("SELECT 7") == [(7,)]
