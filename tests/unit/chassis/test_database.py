"""What an exception says about the work that met it."""

from typing import Any

import pytest
from sqlalchemy import event, exc

from chassis.database import Fault, engine_of, fault_of


class FromPostgres(Exception):
    """A driver's exception with PostgreSQL's code."""

    def __init__(self, code: str | None) -> None:
        self.pgcode = code


def met(code: str | None, kind: type[exc.DBAPIError] = exc.OperationalError, lost: bool = False) -> exc.DBAPIError:
    return kind("SELECT 1", {}, FromPostgres(code), connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (met("40P01"), Fault.AGAIN),  # deadlock
        (met("40001"), Fault.AGAIN),  # serialization failure
        (met("08006"), Fault.AWAY),  # connection failure
        (met("53300"), Fault.AWAY),  # too many connections
        (met("53100"), Fault.AWAY),  # disk full
        (met("57P01"), Fault.AWAY),  # the server shuts down
        (met("57P03"), Fault.AWAY),  # and starts
        (met("57014"), Fault.AWAY),  # statement_timeout
        (met("55P03"), Fault.HELD),  # lock_timeout, NOWAIT
        (met("25P03"), Fault.AWAY),  # idle_in_transaction_session_timeout
        (met("25006"), Fault.AWAY),  # read-only: a stand-by that is not promoted yet
        (met("58030", exc.DatabaseError), Fault.AWAY),  # I/O error
        (met(None), Fault.AWAY),  # no answer at all
        (met(None, exc.InterfaceError), Fault.AWAY),  # the connection is closed
        (met("XX000", exc.InternalError, lost=True), Fault.AWAY),
        (exc.TimeoutError("the pool is empty"), Fault.AWAY),
        (met("23505", exc.IntegrityError), Fault.OTHER),  # unique
        (met("22003", exc.DataError), Fault.OTHER),  # out of range
        (met("42P01", exc.ProgrammingError), Fault.OTHER),  # no such table
        (met(None, exc.ProgrammingError), Fault.OTHER),
        (KeyError("lines"), Fault.OTHER),
        (ConnectionError("not the database's"), Fault.OTHER),
    ],
)
def test_a_fault_is_one_of_three_kinds(error: BaseException, fault: Fault) -> None:
    assert fault_of(error) is fault


def told_the_driver(url: str) -> dict[str, Any]:
    """What the driver is told when an engine for this URL opens a connection."""
    engine, told = engine_of(url, "conveyor-test"), dict[str, Any]()

    @event.listens_for(engine, "do_connect")
    def note(_dialect: object, _record: object, _given: object, parameters: dict[str, Any]) -> None:
        told.update(parameters)
        raise ConnectionError("nobody connects here")

    with pytest.raises(ConnectionError):
        engine.connect()
    return told


def test_what_the_url_does_not_say_of_a_connection_is_said_for_it() -> None:
    told = told_the_driver("postgresql://sales@localhost/ecommerce_db")
    assert (told["connect_timeout"], told["application_name"]) == (5, "conveyor-test")
    assert told["tcp_user_timeout"] == 8_000


def test_what_the_url_says_of_a_connection_holds() -> None:
    told = told_the_driver("postgresql://sales@localhost/ecommerce_db?connect_timeout=1&application_name=mine")
    assert (told["connect_timeout"], told["application_name"]) == ("1", "mine")
    assert told["tcp_user_timeout"] == 8_000
