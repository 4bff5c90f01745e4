"""All or nothing, messages included; and what comes after the commit comes only then."""

import threading

import pytest
from sqlalchemy import exc, select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis import database
from chassis.attempts import count_attempt, forget_attempts
from chassis.database import Fault, after_commit, fault_of, transaction
from chassis.outbox import enqueue, outbox
from conveyor.embedded.postgres import Postgres

LINKS = [{"task": "delivery.report_status", "args": [[]]}, {"task": "sales.update_order_status", "args": []}]
Sessions = sessionmaker[Session]


def mark() -> str:
    """What tells a test's rows from all others."""
    return uuid7().hex


def rows_of(sessions: Sessions, order: str) -> list[object]:
    with transaction(sessions) as session:
        rows = session.execute(select(outbox).order_by(outbox.c.id)).all()
    return [row for row in rows if row.bundle == [{"order_id": order}]]


def test_a_message_is_there_when_its_transaction_is_and_waits_with_the_links_that_follow(
    delivery_sessions: Sessions,
) -> None:
    order = mark()
    with transaction(delivery_sessions) as session:
        enqueue(session, LINKS, [{"order_id": order}], alone=True)
        assert rows_of(delivery_sessions, order) == []
    [row] = rows_of(delivery_sessions, order)
    assert (row.task, row.links, row.alone) == ("delivery.report_status", LINKS[1:], True)  # type: ignore[attr-defined]


def test_whoever_leaves_by_an_exception_leaves_nothing_behind(delivery_sessions: Sessions) -> None:
    order, done = mark(), list[str]()

    def fail() -> None:
        with transaction(delivery_sessions) as session:
            enqueue(session, LINKS, [{"order_id": order}])
            after_commit(session, lambda: done.append("told"))
            raise KeyError("lines")

    with pytest.raises(KeyError):
        fail()
    assert (rows_of(delivery_sessions, order), done) == ([], [])


def test_a_commit_that_fails_tells_nobody(delivery_sessions: Sessions) -> None:
    done: list[str] = []
    late = "CREATE TEMPORARY TABLE once (x int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"

    def fail() -> None:
        with transaction(delivery_sessions) as session:
            session.execute(text(late))
            session.execute(text("INSERT INTO once VALUES (1), (1)"))
            after_commit(session, lambda: done.append("told"))

    with pytest.raises(exc.IntegrityError):
        fail()
    assert done == []


def test_what_comes_after_the_commit_sees_it_comes_in_order_and_comes_once(delivery_sessions: Sessions) -> None:
    order, done = mark(), list[object]()
    with transaction(delivery_sessions) as session:
        enqueue(session, LINKS, [{"order_id": order}])
        after_commit(session, lambda: done.append(len(rows_of(delivery_sessions, order))))
        after_commit(session, lambda: done.append("second"))
    with transaction(delivery_sessions) as session:
        session.execute(text("SELECT 1"))
    assert done == [1, "second"]


def test_a_transactions_messages_wake_the_relay_once(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr("chassis.outbox.wake", woken.append)
    for _ in range(2):
        with transaction(delivery_sessions) as session:
            for _ in range(3):
                enqueue(session, LINKS, [{"order_id": mark()}])
    assert woken == ["127.0.0.1:9"] * 2


def test_tries_are_counted_also_by_two_at_once_and_forgotten_when_done(delivery_sessions: Sessions) -> None:
    message_id = mark()

    def count() -> None:
        for _ in range(10):
            with transaction(delivery_sessions) as session:
                count_attempt(session, message_id)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with transaction(delivery_sessions) as session:
        assert count_attempt(session, message_id, "KeyError") == 21
        forget_attempts(session, message_id)
        assert count_attempt(session, message_id) == 1


class TestAConnectionThatEndedInThePool:
    """It was not used for a while, and PostgreSQL has ended it since."""

    def use(self, sessions: Sessions, postgres: Postgres) -> None:
        with transaction(sessions) as session:
            (process,) = session.execute(text("SELECT pg_backend_pid()")).one()
        postgres.execute(f"SELECT pg_terminate_backend({process}, 10000)")
        with transaction(sessions) as session:
            session.execute(text("SELECT 1"))

    def test_costs_nobody_anything(
        self, delivery_sessions: Sessions, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "IDLE", 0.0)  # however short that while is
        self.use(delivery_sessions, postgres)

    def test_is_not_looked_for_on_one_that_was_used_a_moment_ago(
        self, delivery_sessions: Sessions, postgres: Postgres
    ) -> None:
        with pytest.raises(exc.DBAPIError) as met:
            self.use(delivery_sessions, postgres)
        assert fault_of(met.value) is Fault.AWAY
