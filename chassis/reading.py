"""Reading by single statements, which need no transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, sessionmaker


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
