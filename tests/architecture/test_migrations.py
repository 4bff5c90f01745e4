"""Expand, then contract: what a migration may do while the release before is still at work on the same tables.

The migrations since that release are written down as SQL, whatever they are made of, and each statement is read. What
takes something away from the old code, or asks something new of it, needs a marker in the migration:

    CONTRACTS = "0.1.0"  # the release that stopped using what is taken away here

and that release has to be the one before, or an older one: only then has nobody who is still at work a use for it.
"""

import io
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from chassis.migrations import history
from tests import release_before
from tests.conftest import SERVICES

#: What the old code cannot bear on a table that it works on, and why.
REFUSED = {
    r"DROP TABLE": "the old code reads it",
    r"DROP COLUMN": "the old code reads it",
    r"\bRENAME\b": "the old code knows the old name",
    r"ALTER COLUMN \S+ (SET DATA )?TYPE": "it is rewritten under a lock, and the old code knows the old type",
    r"SET NOT NULL": "the old code may leave it empty",
    r"DROP DEFAULT": "the old code may leave it to the default",
    r"ADD COLUMN (?!.*\bDEFAULT\b).*\bNOT NULL\b": "the old code does not fill it",
    r"\bADD (CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY|EXCLUDE)": "the old code does not keep it",
    r"CREATE UNIQUE INDEX": "the old code does not keep it",
    r"DROP (CONSTRAINT|INDEX)": "the old code may rely on it, as ON CONFLICT does",
    r"CREATE (OR REPLACE |CONSTRAINT )*(TRIGGER|RULE)": "the old code does not know of it",
    r"\b(TRUNCATE|DELETE FROM)\b": "the old code reads it",
}

Found = tuple[str, str]


def sql_of(module: ModuleType) -> list[str]:
    """The statements of a migration, each on one line, as it would send them to PostgreSQL."""
    written = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
    with Operations.context(context):
        module.upgrade()
    return [" ".join(each.split()) for each in written.getvalue().split(";") if each.strip()]


def made_by(statements: list[str]) -> set[str]:
    """The tables that are new, so that nobody works on them yet."""
    return {name for each in statements for name in re.findall(r"^CREATE TABLE (\w+)", each, re.IGNORECASE)}


def refused(statements: list[str], new: set[str]) -> Iterator[Found]:
    """Each statement that the old code cannot bear, with the reason."""
    for statement in statements:
        for pattern, reason in REFUSED.items():
            about_new = any(re.search(rf'\b(TABLE|ON|FROM)\s+"?{name}\b', statement, re.IGNORECASE) for name in new)
            if re.search(pattern, statement, re.IGNORECASE) and not about_new:
                yield statement, reason


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def breaks(module: ModuleType, new: set[str]) -> list[Found]:
    """What is wrong with a migration, given what the migrations before it have made."""
    statements = sql_of(module)
    stopped_using = getattr(module, "CONTRACTS", None)
    if stopped_using is not None and version(stopped_using) <= version(release_before.VERSION):
        return []
    found = list(refused(statements, new | made_by(statements)))
    if stopped_using is not None:
        return [(each, f"{stopped_using} still runs where this is installed") for each, _ in found]
    return found


def since_the_release(service: str) -> list[ModuleType]:
    """The migrations that a running release before will see happen, oldest first."""
    there = len(release_before.migrations(service))
    revisions = [*ScriptDirectory.from_config(history(service)).walk_revisions()][::-1]
    return [import_module(f"migrations.{service}.versions.{Path(each.path).stem}") for each in revisions[there:]]


@pytest.mark.parametrize("service", SERVICES)
def test_no_migration_takes_from_the_release_before_what_it_uses(service: str) -> None:
    new: set[str] = set()
    for module in since_the_release(service):
        assert breaks(module, new) == [], f"{module.__name__}: expand now, contract in a later release"
        new |= made_by(sql_of(module))


@pytest.mark.parametrize("service", SERVICES)
def test_a_migration_that_was_released_is_never_edited(service: str) -> None:
    for name in release_before.migrations(service):
        path = f"migrations/{service}/versions/{name}"
        assert (release_before.ROOT / path).read_text() == release_before.file(path), path


def test_the_version_of_the_release_before_is_the_one_that_its_commit_has() -> None:
    assert f"\nversion = {release_before.VERSION}\n" in release_before.file("setup.cfg")


def migration(statements: str, contracts: str | None = None) -> ModuleType:
    """A migration that somebody may write one day."""
    module = ModuleType("migration")
    marker = f"CONTRACTS = {contracts!r}\n" if contracts else ""
    exec(f"import sqlalchemy as sa\nfrom alembic import op\n{marker}def upgrade():\n    {statements}", module.__dict__)
    return module


BREAKING = [
    "op.drop_table('reservations')",
    "op.drop_column('reservations', 'detail')",
    "op.rename_table('reservations', 'holdings')",
    "op.alter_column('reservations', 'detail', new_column_name='explanation')",
    "op.alter_column('reservations', 'detail', type_=sa.Integer())",
    "op.alter_column('reservations', 'detail', nullable=False)",
    "op.alter_column('reservations', 'created_at', server_default=None)",
    "op.add_column('reservations', sa.Column('shelf', sa.Text(), nullable=False))",
    "op.add_column('reservations', sa.Column('shelf', sa.Text(), unique=True))",
    "op.create_check_constraint('ck', 'reservations', 'detail IS NOT NULL')",
    "op.create_unique_constraint('uq', 'reservations', ['detail'])",
    "op.create_foreign_key('fk', 'reservations', 'products', ['product_id'], ['id'])",
    "op.drop_constraint('ck_reservations_state', 'reservations')",
    "op.create_index('ix', 'reservations', ['detail'], unique=True)",
    "op.drop_index('ix_reservations_detail', 'reservations')",
    "op.execute('alter table reservations\\n  drop column detail')",
    "op.execute('CREATE TRIGGER t BEFORE INSERT ON reservations EXECUTE FUNCTION f()')",
    "op.execute('SELECT 1; DELETE FROM reservations')",
]
HARMLESS = [
    "op.create_table('shelves', sa.Column('id', sa.Text(), nullable=False), sa.CheckConstraint('true', name='ck'))",
    "op.add_column('reservations', sa.Column('shelf', sa.Text()))",
    "op.add_column('reservations', sa.Column('shelf', sa.Text(), nullable=False, server_default='A'))",
    "op.create_index('ix', 'reservations', ['detail'])",
    "op.alter_column('reservations', 'detail', nullable=True)",
    "op.execute('UPDATE reservations SET detail = reason WHERE detail IS NULL')",
    "op.create_table('new_one', sa.Column('id', sa.Text())); op.create_index('ix', 'new_one', ['id'], unique=True)",
]


@pytest.mark.parametrize("statements", BREAKING)
def test_control_a_migration_that_would_break_the_release_before_is_refused(statements: str) -> None:
    assert breaks(migration(statements), set())


@pytest.mark.parametrize("statements", HARMLESS)
def test_a_migration_that_only_adds_is_let_through(statements: str) -> None:
    assert breaks(migration(statements), set()) == []


def test_what_no_running_release_uses_any_more_may_go() -> None:
    assert breaks(migration(BREAKING[1], contracts=release_before.VERSION), set()) == []


def test_control_a_release_that_still_runs_cannot_have_stopped_using_anything() -> None:
    assert breaks(migration(BREAKING[1], contracts="99.0.0"), set())
