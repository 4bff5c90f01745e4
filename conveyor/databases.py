"""The operator's view of the three databases: short transactions, never in anybody's way.

A service knows the URL of its own database only; the operator holds all three. Only ``asking`` may write.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import Fault, engine_of, fault_of, transaction
from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor.access import refused_database

#: Whoever reads everything may take longer than a request may: seconds for one statement.
PATIENCE = 600


class DatabaseDown(ConveyorError):
    """A service's database cannot be read."""

    def __init__(self, service: str, error: BaseException, url: str) -> None:
        first = str(error).strip().splitlines()[0]
        super().__init__(refused_database(service, url, first) or f"{service}'s database cannot be read: {first}")
        self.service = service


class Readable(Protocol):
    """The three databases as somebody sees them."""

    def reading(self, service: str) -> AbstractContextManager[Connection]:
        """A transaction of a service's database."""


class Databases:
    """Short transactions that read, on any of the three databases. Nothing connects before the first one.

    A context manager: leaving it closes the connections.
    """

    def __init__(self, settings: Settings, connect_timeout: int = 5, patience: int = PATIENCE) -> None:
        """``connect_timeout`` and ``patience``, which is for one statement, in seconds."""
        self._settings = settings
        self._connect_timeout = connect_timeout
        self._patience = patience
        self._engines: dict[str, Engine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    @contextmanager
    def reading(self, service: str) -> Iterator[Connection]:
        """One read-only transaction; its rows are streamed, so a result may be of any size.

        Raises SettingsError where the URL is not set, DatabaseDown.
        """
        if service not in self._engines:
            self._engines[service] = self._engine(service)
        try:
            with self._engines[service].connect().execution_options(postgresql_readonly=True) as connection:
                # For this transaction only, so that it also holds behind PgBouncer.
                connection.execute(text(f"SET LOCAL statement_timeout = '{self._patience}s'"))
                connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{self._patience}s'"))
                # The planner takes a range of ids for a single row, and would join a million of them by nested loops.
                connection.execute(text("SET LOCAL enable_nestloop = off"))
                yield connection.execution_options(stream_results=True, yield_per=1_000)
        except DBAPIError as error:
            raise DatabaseDown(service, error.orig or error, self._settings.database_url(service)) from error

    def _engine(self, service: str) -> Engine:
        url = self._settings.database_url(service)
        return engine_of(
            url, "conveyor-operator", self._connect_timeout, pool_size=1, max_overflow=1, pool_pre_ping=True
        )


@contextmanager
def asking(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A transaction of an operator's on the database of sales. Raises DatabaseDown."""
    try:
        with transaction(sessions) as session:
            yield session
    except DBAPIError as error:
        if fault_of(error) is Fault.OTHER:
            raise
        raise DatabaseDown("sales", error.orig or error, str(sessions.kw["bind"].url)) from error
