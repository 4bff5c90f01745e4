"""Comparisons in either case know every letter, in a database of locale C too, which this is."""

from collections.abc import Iterator

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.orm import Session, sessionmaker

from chassis import letter_case
from chassis.database import transaction

#: Small letters of Latin, Greek, Cyrillic and Armenian, each with its capital; a sigma at the end of a word too.
SMALL = [0xE4, 0xF6, 0xE9, 0xF8, 0x142, 0x15F, 0x17E, 0xF1, 0x131, 0x3B1, 0x3C3, 0x3C2, 0x436, 0x44F, 0x491, 0x576]
PAIRS = [(chr(each), chr(each).upper()) for each in SMALL]


@pytest.fixture
def session(inventory_sessions: sessionmaker[Session]) -> Iterator[Session]:
    with transaction(inventory_sessions) as session:
        yield session


def found(session: Session, part: str, whole: str) -> bool:
    return bool(session.execute(select(letter_case.contains(session, literal(whole), part))).scalar_one())


def test_this_database_is_of_locale_c(session: Session) -> None:
    assert session.execute(text("SELECT lower('Ä')")).scalar_one() == "Ä"


@pytest.mark.parametrize(("small", "capital"), PAIRS)
def test_a_letter_is_found_by_its_capital_and_the_other_way_round(session: Session, small: str, capital: str) -> None:
    assert found(session, capital, f"A lamp {small} of ours")
    assert found(session, small, f"A lamp {capital} of ours")


@pytest.mark.parametrize("collation", ["pg_c_utf8", "C.utf8", None])
def test_whichever_collation_there_is_what_is_special_in_a_pattern_stands_for_itself(
    session: Session, collation: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(letter_case._collations, session.get_bind().engine, collation)
    for part in ("100%", "a_b", "a/b", "\\", "'", "%"):
        assert found(session, part, f"x{part}y")
        assert not found(session, part, "x100 percent, a b")
    assert found(session, "É", "café") == (collation is not None)


def test_a_word_in_greek_is_found_by_its_capitals_wherever_it_ends(session: Session) -> None:
    assert found(session, "ΛΆΜΠΕΣ", "δύο λάμπες εδώ")
    assert found(session, "λάμπες", "ΛΆΜΠΕΣ")
