"""Running an Alembic history, and the tables that all three histories begin with.

The histories never meet: each service's is a folder of its own and moves out with the service.
"""

import importlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import MetaData, text

from chassis import attempts, outbox, repairs
from chassis.database import chassis_metadata, engine_of
from chassis.errors import ConveyorError
from chassis.settings import Settings, settings

#: Imported for their tables, which Alembic compares with what the migrations have made.
_TABLES = (attempts.attempts, outbox.outbox, repairs.repairs)

#: Below so many rows PostgreSQL may find it cheaper to read the whole of a table than to use its index.
TINY = 1_000

#: Any number will do, as long as every migrating process uses the same one.
_MIGRATING = 7_203_114

_CONNECTED = text(
    "SELECT application_name || ': ' || count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND application_name LIKE 'conveyor-%'"
    " AND application_name NOT IN ('conveyor-operator', 'conveyor-migrate')"
    " GROUP BY application_name ORDER BY 1"
)


class SchemaNewer(ConveyorError):
    """The database was migrated by a newer release than this one."""

    def __init__(self, service: str, revision: str) -> None:
        super().__init__(
            f"{service}'s database is at revision {revision}, which this release does not know: a newer one has"
            " migrated it. This release can run on it; to go back further, migrate back with the newer release"
        )


def history(service: str) -> Config:
    """Alembic's configuration for this service's history; works from a checkout and from an installed package."""
    folder = Path(str(importlib.import_module(f"migrations.{service}").__file__)).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config


class NoRevision(ConveyorError):
    """There is no such revision, or no way to it."""


def migrate(service: str, to: str = "head") -> None:
    """Bring this service's database to a revision, forwards or back; set the time-outs and the time zone of its role.

    ``to`` is a revision, ``head``, ``base``, or steps such as ``+1`` and ``-1``. Raises SchemaNewer, NoRevision.
    """
    move = command.downgrade if goes_back(service, to) else command.upgrade
    config = history(service)
    try:
        move(config, to)
    except CommandError as error:
        raise _no_revision(service, to, config) from error


def goes_back(service: str, to: str) -> bool:
    """Whether this service's database loses something on its way to that revision. Raises SchemaNewer, NoRevision."""
    config = history(service)
    if not to:
        raise _no_revision(service, to, config)
    if to == "base" or to.startswith("-"):
        return True
    passed = _passed(service, config)
    try:
        # A revision may be named by its first characters.
        found = ScriptDirectory.from_config(config).get_revision(to) if not to.startswith("+") else None
    except CommandError as error:
        raise _no_revision(service, to, config) from error
    return found is not None and found.revision in passed


def connected(service: str) -> str | None:
    """Which processes of Conveyor are connected to this service's database, in words; None where there is none."""
    engine = _engine(service)
    with engine.connect() as connection:
        named = connection.execute(_CONNECTED).scalars().all()
    engine.dispose()
    return f"processes are connected to {service}'s database ({', '.join(named)})" if named else None


def _no_revision(service: str, to: str, config: Config) -> NoRevision:
    known = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    return NoRevision(
        f"there is no way to {to!r} for {service}'s database: its revisions are {', '.join(known)}; head is the newest,"
        " base is before the first, +1 and -1 are steps"
    )


def _passed(service: str, config: Config) -> list[str]:
    """The revisions that the database has behind it: an upgrade to one of these would do nothing, without a word."""
    engine = _engine(service)
    with engine.connect() as connection:
        now = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    if now is None:
        return []
    try:
        return [each.revision for each in ScriptDirectory.from_config(config).iterate_revisions(now, "base")][1:]
    except RevisionError as error:
        raise SchemaNewer(service, now) from error


def _engine(service: str) -> sa.Engine:
    return engine_of(settings().database_url(service), "conveyor-migrate")


def run(service: str, metadata: MetaData) -> None:
    """What each ``env.py`` calls: one transaction, one migrating process at a time.

    Waits at most five seconds for a lock: a migration never stands in a queue before live traffic. What is set and
    locked ends with the transaction: a connection that PgBouncer gave goes back to it as it was.
    """
    config = settings()
    engine = _engine(service)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
        context.configure(
            connection=connection, target_metadata=[metadata, chassis_metadata], compare_server_default=True
        )
        context.run_migrations()
        _set_up_role(connection, config)
    engine.dispose()


def _set_up_role(connection: Any, config: Settings) -> None:
    for name, seconds in (
        ("statement_timeout", config.statement_timeout),
        ("lock_timeout", config.lock_timeout),
        ("idle_in_transaction_session_timeout", config.idle_in_transaction_timeout),
    ):
        connection.execute(text(f"ALTER ROLE CURRENT_USER SET {name} = {int(seconds * 1000)}"))
    connection.execute(text("ALTER ROLE CURRENT_USER SET timezone = 'UTC'"))
    # For memory and SSDs. At the default of 4, for disks that turn, a bundle would read tables of some thousand rows
    # whole, where an index has the few rows that it is about.
    connection.execute(text("ALTER ROLE CURRENT_USER SET random_page_cost = 1.1"))


def create_chassis_tables() -> None:
    """Outbox and attempts as of version 0.1. Never edited: a later change is a migration of its own in each history.

    The outbox is filled and emptied all day, so vacuum follows it closely.
    """
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("links", sa.JSON(), nullable=False, comment="the signatures that follow, next one first"),
        sa.Column("bundle", sa.JSON(), nullable=False, comment="the task's argument: a list of orders"),
        sa.Column("alone", sa.Boolean(), server_default="false", nullable=False, comment="never merged"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_task_id", "outbox", ["task", "id"])
    op.create_table(
        "attempts",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
        _moment("first_seen"),
        _moment("last_seen"),
        sa.PrimaryKeyConstraint("message_id", name="pk_attempts"),
    )
    op.execute(
        "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,"
        " autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)"
    )


def drop_chassis_tables() -> None:
    """The way back."""
    op.drop_table("attempts")
    op.drop_table("outbox")


def take_statistics_late(*tables: str) -> None:
    """Keep PostgreSQL from taking statistics of these tables while they are tiny; for tables that others refer to.

    A connection keeps the plan with which it checks a foreign key until new statistics are taken. Made over a table
    that is known to have a few dozen rows, it reads the whole table for each row that refers to it, however much the
    table has grown since: sixteen times the CPU after 20,000 orders. Of a table without statistics PostgreSQL expects
    some pages, and takes the index.
    """
    for table in tables:
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_analyze_threshold = {TINY}, autovacuum_vacuum_threshold = {TINY})"
        )


def take_statistics_as_ever(*tables: str) -> None:
    """Undo ``take_statistics_late``."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} RESET (autovacuum_analyze_threshold, autovacuum_vacuum_threshold)")


def create_repairs_table() -> None:
    """What reconcile has mended, as of version 0.2. Never edited, as above."""
    op.create_table(
        "repairs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _moment("at"),
        sa.Column("actor", sa.Text(), nullable=False, comment="who ran the repair"),
        sa.Column("run", sa.Uuid(), nullable=False, comment="the repairs of one run have it in common"),
        sa.Column("kind", sa.Text(), nullable=False, comment="the deviation, as reconcile names it"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the id of what deviated"),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repairs"),
    )
    op.create_index("ix_repairs_subject", "repairs", ["subject"])


def drop_repairs_table() -> None:
    """The way back: what was repaired stays repaired, only who did it is forgotten."""
    op.drop_table("repairs")


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
