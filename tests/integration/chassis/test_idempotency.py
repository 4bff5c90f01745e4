"""A request that is sent twice makes one row, at the level of the table."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import UUID, Column, DateTime, MetaData, Table, Text, func, select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import NAMING, transaction
from chassis.idempotency import IdempotencyKeyReused, RequestKey, insert_once, key_columns
from tests.integration.conftest import Scratch

things = Table(
    "things",
    MetaData(naming_convention=NAMING),
    Column("id", UUID, primary_key=True),
    Column("name", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *key_columns(),
)
KEY = RequestKey("public", "k-1", "a" * 64)


@pytest.fixture
def sessions(scratch_database: Scratch) -> sessionmaker[Session]:
    made = scratch_database("delivery")
    with transaction(made) as session:
        things.create(session.connection())
    return made


@pytest.fixture
def put(sessions: sessionmaker[Session]) -> Callable[..., tuple[Any, bool]]:
    """Sends a request for a thing of this name."""

    def send(name: str, key: RequestKey | None = KEY) -> tuple[Any, bool]:
        with transaction(sessions) as session:
            return insert_once(session, things, {"id": uuid7(), "name": name}, key)

    return send


def test_the_second_time_the_first_row_is_found_as_it_is_now(sessions: sessionmaker[Session], put: Any) -> None:
    first, replayed = put("lamp")
    assert not replayed
    with transaction(sessions) as session:
        session.execute(things.update().values(name="chair"))

    second, replayed = put("lamp")

    assert (second.id, second.name, replayed) == (first.id, "chair", True)


def test_another_request_under_the_same_key_is_refused(put: Any) -> None:
    put("lamp")
    with pytest.raises(IdempotencyKeyReused):
        put("lamp", RequestKey("public", "k-1", "b" * 64))


@pytest.mark.parametrize("other", [None, RequestKey("public", "k-2", "a" * 64), RequestKey("else", "k-1", "a" * 64)])
def test_no_key_another_key_or_another_client_makes_another_row(put: Any, other: RequestKey | None) -> None:
    assert put("lamp")[0].id != put("lamp", other)[0].id


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_copy_waits_for_the_first_and_makes_the_row_itself_if_that_one_fails(
    sessions: sessionmaker[Session], put: Any, ends_well: bool
) -> None:
    answered: list[tuple[Any, bool]] = []
    first = sessions()
    row, _ = insert_once(first, things, {"id": uuid7(), "name": "first"}, KEY)
    copy = threading.Thread(target=lambda: answered.append(put("copy")))
    copy.start()
    _until_somebody_waits_for_a_lock(sessions)

    first.commit() if ends_well else first.rollback()
    copy.join(20)
    first.close()

    [(found, replayed)] = answered
    assert (found.name, replayed) == (("first", True) if ends_well else ("copy", False))
    assert (found.id == row.id) == ends_well


@pytest.mark.parametrize(("age", "free"), [("29 days", False), ("31 days", True)])
def test_a_key_is_free_again_after_thirty_days(sessions: sessionmaker[Session], put: Any, age: str, free: bool) -> None:
    first, _ = put("lamp")
    with transaction(sessions) as session:
        session.execute(text(f"UPDATE things SET created_at = now() - interval '{age}'"))
    second, replayed = put("lamp")
    assert (second.id != first.id, replayed) == (free, not free)
    with transaction(sessions) as session:
        assert len(session.execute(select(things)).all()) == 1 + free


def _until_somebody_waits_for_a_lock(sessions: sessionmaker[Session]) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    for _ in range(2_000):
        with transaction(sessions) as session:
            if session.execute(text(waiting)).scalar_one():
                return
            session.execute(text("SELECT pg_sleep(0.005)"))
    raise AssertionError("nobody waits")
