"""Engine, sessions and the one ``transaction()``; what a database error means.

Timeouts (statement, lock, idle in transaction) are set on the database role when it is migrated, not on each
connection: so they also hold behind PgBouncer in transaction mode, which passes no connection options on.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Dialect, Engine, ExceptionContext, MetaData, create_engine, event
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import Session, sessionmaker

from chassis.postgresql_url import url_of
from chassis.settings import Settings
from chassis.sockets import POSTGRESQL
from chassis.told import without_values

#: Every constraint has a name, so that a migration can speak of it.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

#: NUMERIC(12, 2): the largest amount that a column of money holds.
LARGEST_AMOUNT = Decimal("9999999999.99")

#: Seconds after which a connection is tried before it is used.
IDLE = 1.0

#: The tables that every service's database has: outbox and attempts.
chassis_metadata = MetaData(naming_convention=NAMING)


def open_database(
    service: str, settings: Settings, try_after: float | None = None, **info: Any
) -> sessionmaker[Session]:
    """Sessions on the database that this service owns. Nothing connects before the first statement.

    A connection that nobody used for ``try_after`` seconds, ``IDLE`` unless told otherwise, is tried before it is used.
    ``info`` is found again in every ``session.info``; the address of the service's relay is put there.
    """
    from chassis import overdue  # the driver's; the gateway, which has no database, reads this module without it

    engine = engine_of(
        settings.database_url(service),
        f"conveyor-{service}",
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        factory=overdue.WatchedConnection,
    )
    event.listen(engine, "connect", overdue.ask_for_limit)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_try_if_idle, engine.dialect, try_after))
    relay = getattr(settings, f"{service}_relay")
    return sessionmaker(engine, expire_on_commit=False, info={"relay": relay, **info})


def engine_of(url: str, name: str, connect_timeout: int = 5, factory: type | None = None, **options: Any) -> Engine:
    """An engine for this URL; PostgreSQL knows its connections by ``name``. What the URL says of a connection holds.

    ``factory`` is the class of the driver's connections, where it is not the driver's own.

    A connection that went silent is noticed, and no error tells the values that its statement was given.
    """
    parsed = url_of(url).set(drivername="postgresql+psycopg2")
    arguments = {"connect_timeout": connect_timeout, "application_name": name, **POSTGRESQL}
    unsaid = {key: value for key, value in arguments.items() if key not in parsed.query}
    arguments = unsaid | ({"connection_factory": factory} if factory else {})
    engine = create_engine(parsed, hide_parameters=True, connect_args=arguments, **options)
    event.listen(engine, "handle_error", without_values)
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _leave_a_standby(context: ExceptionContext) -> None:
    """A server that takes no changes any more has become a standby: another connection may lead to its successor."""
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _try_if_idle(dialect: Dialect, try_after: float | None, connection: Any, record: Any, _proxy: Any) -> None:
    """A connection that nobody used for a while may have died with its server: then the pool opens another, and the
    first request after a restart is not the one to find out."""
    if time.monotonic() - record.info.get("used_at", math.inf) < (IDLE if try_after is None else try_after):
        return
    try:
        with connection.answering_at_once():
            dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise sa_exc.DisconnectionError from error


@contextmanager
def transaction(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """All or nothing: commits when the block ends well, and rolls back when it raises.

    What was asked for by ``after_commit`` runs after the commit, in order.
    """
    with sessions() as session:
        with session.begin():
            yield session
        actions: list[Callable[[], None]] = session.info.pop("after_commit", [])
    for action in actions:
        action()


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Run this once the session's transaction is committed, and never if it is not.

    For what may be lost without harm (a wake-up, an announcement): the process may die in between. Whoever passes an
    action makes sure that it does not raise; the work is committed already.
    """
    session.info.setdefault("after_commit", []).append(action)


def recordset(rows: Iterable[object]) -> str:
    """These rows as the one parameter of a set-wise statement: ``FROM json_to_recordset(:rows) AS row (id uuid, ...)``.

    A row is a mapping or a dataclass.
    An array for each column would cost client and server two to four times as much as one JSON text.
    """
    return msgspec.json.encode(list(rows)).decode()


def storable(words: str) -> str:
    """These words as PostgreSQL takes them: no U+0000, no half of a surrogate pair."""
    return words.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class Fault(Enum):
    """What an exception says about the work that met it."""

    AWAY = "the database cannot serve now; the same work will do later"
    HELD = "another transaction holds a row that this work needs; the same work will do later"
    AGAIN = "another transaction was in the way; the same work will do at once"
    OTHER = "this work cannot be done"


#: Connection, resources, shutdown, time-outs, read-only: https://www.postgresql.org/docs/current/errcodes-appendix.html
_READ_ONLY = "25006"
_AWAY_CODES = ("08", "53", "57P", "58", "57014", "25P03", _READ_ONLY)
_HELD_CODE = "55P03"
_AGAIN_CODES = ("40001", "40P01")


def fault_of(error: BaseException) -> Fault:
    """Which of the four kinds of fault this is; decides whether to wait, to repeat or to give up."""
    if isinstance(error, sa_exc.TimeoutError):
        return Fault.AWAY
    if not isinstance(error, sa_exc.DBAPIError):
        return Fault.OTHER
    code = getattr(error.orig, "pgcode", None)
    if code in _AGAIN_CODES:
        return Fault.AGAIN
    if code == _HELD_CODE:
        return Fault.HELD
    if error.connection_invalidated or (code and code.startswith(_AWAY_CODES)):
        return Fault.AWAY
    if code is None and isinstance(error, sa_exc.OperationalError | sa_exc.InterfaceError):
        return Fault.AWAY
    return Fault.OTHER
