"""What is said of an exception has nothing of anybody's in it."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DataError, IntegrityError

from chassis.causes import cause_of, without_values

STATEMENT = "INSERT INTO deliveries (address) VALUES (%(address)s)"
VALUES = {"address": "12 Rue de la Paix"}


class FromPostgres(Exception):
    """What psycopg2 raises: the whole of what the server has said, and its parts."""

    def __init__(self, code: str, sentence: str, detail: str) -> None:
        super().__init__(f"{sentence}\nDETAIL:  {detail}\n")
        self.pgcode, self.diag = code, SimpleNamespace(message_primary=sentence)


KIND = f"({FromPostgres.__module__}.FromPostgres)"


def test_a_row_that_is_refused_is_not_told() -> None:
    error = FromPostgres("23514", 'new row violates check constraint "ck"', "Failing row contains (12 Rue de la Paix).")
    said = cause_of(IntegrityError(STATEMENT, VALUES, error))
    assert said == f'IntegrityError: {KIND} new row violates check constraint "ck" [statement: {STATEMENT}]'
    assert without_values(said) == said


def test_a_malformed_value_is_not_told_though_the_servers_sentence_quotes_it() -> None:
    error = FromPostgres("22P02", 'invalid input syntax for type uuid: "ada@example.com"', "")
    assert cause_of(DataError(STATEMENT, VALUES, error)) == f"DataError: {KIND} [statement: {STATEMENT}]"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("lines"), "KeyError: 'lines'"),
        (LookupError("there is no order 7"), "LookupError: there is no order 7"),
        (ValueError("nul \x00, half a pair \ud800"), "ValueError: nul \N{REPLACEMENT CHARACTER}, half a pair ?"),
    ],
)
def test_other_exceptions_are_told_as_they_are(error: Exception, said: str) -> None:
    assert cause_of(error) == said


@pytest.mark.parametrize(
    "told",
    [
        str(
            IntegrityError(
                STATEMENT, VALUES, FromPostgres("23514", "new row", "Failing row contains (ada@example.com).")
            )
        ),
        "(psycopg2.errors.X) new row\nDETAIL:  Key (email)=(ada@example.com) already exists.",
        "(psycopg2.errors.X) bad value \"ada@example.com\"\n[SQL: SELECT 1]\n[parameters: {'a': 'ada@example.com'}]",
    ],
)
def test_of_what_was_told_before_only_the_kind_is_left(told: str) -> None:
    said: Any = without_values(f"DataError: {told}")
    assert said.startswith("DataError: (")
    assert "ada@" not in said
    assert "Paix" not in said


def test_what_has_no_values_stays() -> None:
    assert without_values("KeyError: 'lines'") == "KeyError: 'lines'"
    assert without_values("its worker died at it") == "its worker died at it"
