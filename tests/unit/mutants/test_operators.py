"""What a mutant is: the guards of a module, in Python and in SQL, each taken out by itself."""

import ast

from tests.mutants.operators import mutants
from tests.mutants.run import EXPECTED, MODULES, ROOT, _lines_of

SOURCE = '''
"""Of a module. SELECT nothing FOR UPDATE."""
_LOCK = text(
    "SELECT id FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'Pending'"
    " ORDER BY id FOR UPDATE SKIP LOCKED"
)


def lock(session: Session | None, ids):
    """FOR UPDATE, in words: SELECT."""
    if not ids and session is None:
        raise ValueError
    session.execute(_LOCK, {"ids": sorted(ids, key=str)})
    log.info("locked")
    return session.execute(select(t).where(t.c.a == 1, t.c.b < 2).order_by(t.c.a).with_for_update(skip_locked=True))
'''


def changes() -> list[str]:
    return [each.what for each in mutants("x", SOURCE)]


def test_every_guard_of_a_statement_is_taken_out() -> None:
    assert {
        "FOR UPDATE SKIP LOCKED -> nothing",
        "SKIP LOCKED -> nothing",
        "ORDER BY id -> nothing",
        "AND status = 'Pending' -> nothing",
        ".with_for_update(skip_locked=True) -> nothing",
        ".order_by(t.c.a) -> nothing",
        "t.c.a == 1, -> nothing",
        ", t.c.b < 2 -> nothing",
    } <= set(changes())


def test_conditions_calls_and_constants_are_changed() -> None:
    assert {
        "not -> nothing",
        "not ids and -> nothing",
        "is -> is not",
        "raise ValueError -> pass",
        "sorted(ids, key=str) -> list(ids)",
        "True -> False",
        "< -> <=",
    } <= set(changes())


def test_what_is_said_to_people_and_types_stay_as_they_are() -> None:
    assert not [each for each in changes() if "log.info" in each or "Session" in each or "nothing FOR" in each]


def test_a_mutant_is_python_and_differs_in_one_place() -> None:
    for each in mutants("x", SOURCE):
        ast.parse(each.source)
        assert each.source != SOURCE
        assert 1 < each.line <= SOURCE.count("\n")


def test_a_mutant_is_called_by_what_it_is_in_and_not_by_its_line() -> None:
    names = {each.name for each in mutants("x", SOURCE)}
    assert {"x _LOCK: ORDER BY id -> nothing", "x lock: not -> nothing"} <= names
    assert len(names) == len(list(mutants("x", SOURCE)))


def test_a_constant_is_tried_by_the_tests_of_whoever_uses_it() -> None:
    line = next(n for n, text in enumerate(SOURCE.splitlines(), 1) if "ORDER BY id FOR" in text)
    used = next(n for n, text in enumerate(SOURCE.splitlines(), 1) if "session.execute(_LOCK" in text)
    assert _lines_of(line, SOURCE) == {used}


def test_every_expected_survivor_has_a_reason() -> None:
    lines = [each for each in EXPECTED.read_text().splitlines() if not each.startswith("#")]
    assert lines
    assert all(len(each.split(" | ")) == 2 for each in lines)


def test_every_expected_survivor_is_a_mutant_that_there_is() -> None:
    names = {each.name for module in MODULES for each in mutants(module, (ROOT / f"{module}.py").read_text())}
    expected = {each.split(" | ")[0] for each in EXPECTED.read_text().splitlines() if not each.startswith("#")}
    assert expected <= names, expected - names
