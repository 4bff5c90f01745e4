"""Reading by single statements, which need no transaction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, sessionmaker

from chassis.errors import AppError
from chassis.together import Asked, Done, Together

#: The most that is asked for by one statement.
MOST = 64

#: What is found for each of these, or the refusal, in their order.
Read = Callable[[Connection, list[Asked]], Sequence[Done | AppError]]


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Connection]:
    """A connection on which each statement stands alone, and sees one state of the database. Only for reading.

    BEGIN and COMMIT would be two more round trips than the statement itself. SQLAlchemy's own AUTOCOMMIT is not used,
    since it needs a round trip to set the connection back.
    """
    engine: Engine = sessions.kw["bind"]
    with engine.connect() as connection:
        driven: Any = connection.connection.dbapi_connection
        driven.autocommit = True
        try:
            yield connection
        finally:
            if not driven.closed:
                driven.autocommit = False


class ReadTogether(Together[Asked, Done]):
    """What one process's threads look for at the same time, found by one statement.

    Nobody is given what was read before he asked: who comes while a statement is under way shares the next one.
    """

    def __init__(self, sessions: sessionmaker[Session], read: Read[Asked, Done]) -> None:
        """``read`` is given what to look for, ``MOST`` at most."""

        def read_all(group: list[Asked]) -> Sequence[Done | AppError]:
            with reading(sessions) as connection:
                return read(connection, group)

        super().__init__(read_all, lambda _asked: 1, MOST)
