"""Who waits for whom is looked up in PostgreSQL, never guessed by waiting a while."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import event, exc, text
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction

Result = TypeVar("Result")
#: Seconds after which something that should have happened never will.
DEADLINE = 20.0
LOCK_NOT_AVAILABLE = "55P03"


def until_somebody_waits_for(session: Session, sessions: sessionmaker[Session], by: int = 1) -> None:
    """Returns once so many other connections wait for a lock that this session holds. Raises AssertionError."""
    pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))")
    until = time.monotonic() + DEADLINE
    while True:
        with transaction(sessions) as looking:
            if looking.execute(waiting, {"pid": pid}).scalar_one() >= by:
                return
        assert time.monotonic() < until, "nobody waits"
        time.sleep(0.01)


@contextmanager
def meanwhile(work: Callable[[], Result]) -> Iterator[Future[Result]]:
    """This work, in a thread of its own, over at the end of the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


def can_be_locked(sessions: sessionmaker[Session], statement: str, **values: Any) -> bool:
    """Whether this statement gets its locks although others are at work."""
    try:
        with sessions() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(text(statement), values)
    except exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) == LOCK_NOT_AVAILABLE:
            return False
        raise
    return True


@contextmanager
def read_as_stored(sessions: sessionmaker[Session]) -> Iterator[None]:
    """PostgreSQL reads tables as they are stored, and by no index that happens to have the order that is wanted."""

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")

    event.listen(sessions.kw["bind"], "begin", begin)
    try:
        yield
    finally:
        event.remove(sessions.kw["bind"], "begin", begin)
