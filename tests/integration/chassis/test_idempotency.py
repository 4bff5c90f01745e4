"""A request that is sent twice makes one row, at the level of the table."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID as UUID_

import pytest
from sqlalchemy import UUID, Column, DateTime, MetaData, Table, Text, func, select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import NAMING, transaction
from chassis.idempotency import IdempotencyKeyReused, RequestKey, forget_keys, insert_once, key_columns
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


def test_another_clients_row_is_no_replay_though_the_key_is_the_same(put: Any, sessions: sessionmaker[Session]) -> None:
    theirs, ours = RequestKey("else", "k-1", "a" * 64), KEY
    made = [put("theirs", theirs)[0].id, put("ours", ours)[0].id]
    assert [put(name, key) for name, key in (("theirs", theirs), ("ours", ours))] == [
        (_row(sessions, each), True) for each in made
    ]


def test_a_key_that_is_freed_frees_no_other(sessions: sessionmaker[Session], put: Any) -> None:
    put("lamp"), put("chair", RequestKey("public", "k-2", "c" * 64))
    with transaction(sessions) as session:
        session.execute(text("UPDATE things SET created_at = now() - interval '31 days'"))
    put("lamp again")
    with transaction(sessions) as session:
        kept = session.execute(text("SELECT name FROM things WHERE idempotency_key IS NOT NULL ORDER BY name"))
        assert kept.scalars().all() == ["chair", "lamp again"]


class TestForgetting:
    """The oldest rows first, so many at a time, from where the last time has got to; what is young is left alone."""

    NOW = datetime(2026, 6, 1, tzinfo=UTC)

    @pytest.fixture
    def ids(self, sessions: sessionmaker[Session]) -> list[UUID_]:
        """Rows that are 34, 33, 32, 31 and 29 days old, that of 33 days without a key; not stored in that order."""
        made = {days: UUID_(int=_at(self.NOW - timedelta(days=days)) << 80 | 1) for days in (34, 33, 32, 31, 29)}
        rows = [
            {"id": made[days], "client": "c", "idempotency_key": None if days == 33 else str(days), "request_hash": "h"}
            for days in (31, 34, 29, 33, 32)
        ]
        with transaction(sessions) as session:
            session.execute(things.insert(), rows)
        return list(made.values())

    def forget(self, sessions: sessionmaker[Session], after: UUID_ | None, most: int = 2) -> UUID_ | None:
        with transaction(sessions) as session:
            return forget_keys(session, things, after, self.NOW - timedelta(days=30), most)

    def kept(self, sessions: sessionmaker[Session]) -> list[str]:
        with transaction(sessions) as session:
            found = session.execute(select(things.c.idempotency_key).where(things.c.idempotency_key.isnot(None)))
            return sorted(found.scalars())

    def test_goes_on_where_it_stopped_and_stops_at_what_is_young(
        self, sessions: sessionmaker[Session], ids: list[UUID_]
    ) -> None:
        assert self.forget(sessions, None) == ids[1]
        assert self.kept(sessions) == ["29", "31", "32"]
        assert self.forget(sessions, ids[1]) == ids[3]
        assert self.kept(sessions) == ["29"]
        assert self.forget(sessions, ids[3]) == ids[3]
        assert self.kept(sessions) == ["29"]

    def test_does_not_wait_for_a_row_that_somebody_works_on(
        self, sessions: sessionmaker[Session], ids: list[UUID_]
    ) -> None:
        with transaction(sessions) as other:
            other.execute(select(things).where(things.c.id == ids[0]).with_for_update())
            assert self.forget(sessions, None, 4) == ids[3]
        assert self.kept(sessions) == ["29", "34"]

    def test_writes_only_what_has_a_key(self, sessions: sessionmaker[Session], ids: list[UUID_]) -> None:
        before = _versions(sessions)
        self.forget(sessions, None, 4)
        written = {each for each, version in _versions(sessions).items() if before[each] != version}
        assert written == {ids[0], ids[2], ids[3]}


def _at(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _versions(sessions: sessionmaker[Session]) -> dict[UUID_, int]:
    """Which transaction has written which row last."""
    with transaction(sessions) as session:
        return dict(iter(session.execute(text("SELECT id, xmin::text::int FROM things"))))


def _row(sessions: sessionmaker[Session], thing: UUID_) -> Any:
    with transaction(sessions) as session:
        return session.execute(select(things).where(things.c.id == thing)).one()


def _until_somebody_waits_for_a_lock(sessions: sessionmaker[Session]) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    for _ in range(2_000):
        with transaction(sessions) as session:
            if session.execute(text(waiting)).scalar_one():
                return
            session.execute(text("SELECT pg_sleep(0.005)"))
    raise AssertionError("nobody waits")
