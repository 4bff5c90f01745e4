"""No error of a database tells a value of its row: not in its text, not in its traceback, not in PostgreSQL's log."""

import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import Fault, chassis_metadata, fault_of, transaction
from conveyor.embedded.postgres import Postgres

MARKER = "Ada-Lovelace-12-Rue-de-la-Paix"
SERVICES = ("sales", "inventory", "delivery")


def tables(service: str) -> list[Table]:
    metadata = import_module(f"{service}.models").metadata
    return [*metadata.tables.values(), *chassis_metadata.tables.values()]


def columns() -> list[Any]:
    return [
        pytest.param(service, table.name, column.name, id=f"{service}-{table.name}-{column.name}")
        for service in SERVICES
        for table in tables(service)
        for column in table.columns
    ]


@pytest.fixture
def sessions(request: pytest.FixtureRequest) -> dict[str, sessionmaker[Session]]:
    return {each: request.getfixturevalue(f"{each}_sessions") for each in SERVICES}


def errors_of(sessions: sessionmaker[Session], table: str, column: str) -> Iterator[Exception]:
    """What a value does that is of the wrong kind, that a constraint refuses, that stands in a row alone."""
    attempts = [
        f"INSERT INTO {table} ({column}) VALUES (:marker)",
        f"INSERT INTO {table} ({column}) SELECT * FROM json_to_record(json_build_object('x', :marker)) AS r (x int)",
        f"INSERT INTO {table} SELECT (json_populate_record(NULL::{table}, json_build_object('{column}', :marker))).*",
        f"UPDATE {table} SET {column} = CAST(CAST(:marker AS text) AS int)",
        f"SELECT :marker FROM {table} WHERE {column} = no_such_function(:marker)",
        f"SELECT '{MARKER}'::uuid FROM {table} WHER",
    ]
    for statement in attempts:
        try:
            with transaction(sessions) as session:
                session.execute(text(statement), {"marker": MARKER})
                session.execute(text("SELECT CAST(:marker AS uuid)"), {"marker": MARKER})
        except DBAPIError as error:
            yield error


@pytest.mark.parametrize(("service", "table", "column"), columns())
def test_an_error_says_what_and_not_whose(
    sessions: dict[str, sessionmaker[Session]], postgres: Postgres, service: str, table: str, column: str
) -> None:
    errors = list(errors_of(sessions[service], table, column))
    assert len(errors) == 6
    for error in errors:
        assert isinstance(error, DBAPIError)
        told = [str(error), repr(error), str(error.orig), repr(error.orig), *traceback.format_exception(error)]
        assert MARKER not in "".join(told).replace(f"'{MARKER}'::uuid", "")
        assert error.orig.pgcode[:2] in str(error)
        assert fault_of(error) is Fault.OTHER
    assert MARKER not in Path(postgres.log).read_text()


def test_a_violated_constraint_is_named(sales_sessions: sessionmaker[Session]) -> None:
    statement = (
        "INSERT INTO orders (id, customer_id, status, currency, delivery_address)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), :marker, 'EUR', :marker)"
    )
    named = r"^\(CheckViolation\) 23514: .*ck_\w+.* \(table orders, constraint ck_\w+\)"
    with pytest.raises(DBAPIError, match=named), transaction(sales_sessions) as session:
        session.execute(text(statement), {"marker": MARKER})
