"""Running an Alembic history, and the tables that all three histories begin with.

The histories never meet: each service's is a folder of its own and moves out with the service.
"""

import importlib
from pathlib import Path
from typing import Any

from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, make_url, text

from chassis.attempts import attempts
from chassis.database import chassis_metadata
from chassis.outbox import outbox
from chassis.settings import Settings, settings

#: Any number will do, as long as every migrating process uses the same one.
_MIGRATING = 7_203_114


def history(service: str) -> Config:
    """Alembic's configuration for this service's history; works from a checkout and from an installed package."""
    folder = Path(str(importlib.import_module(f"migrations.{service}").__file__)).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config


def migrate(service: str, to: str = "head") -> None:
    """Bring this service's database to a revision, and set the time-outs and the time zone of its role."""
    config = history(service)
    if to == "base" or to.startswith("-"):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def run(service: str, metadata: MetaData) -> None:
    """What each ``env.py`` calls: one transaction, one migrating process at a time.

    Waits at most five seconds for a lock: a migration never stands in a queue before live traffic.
    """
    config = settings()
    engine = create_engine(make_url(config.database_url(service)).set(drivername="postgresql+psycopg2"))
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '5s'; SET statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATING})"))
        connection.commit()
        context.configure(
            connection=connection, target_metadata=[metadata, chassis_metadata], compare_server_default=True
        )
        with context.begin_transaction():
            context.run_migrations()
        _set_up_role(connection, config)
        connection.commit()
    engine.dispose()


def _set_up_role(connection: Any, config: Settings) -> None:
    for name, seconds in (
        ("statement_timeout", config.statement_timeout),
        ("lock_timeout", config.lock_timeout),
        ("idle_in_transaction_session_timeout", config.idle_in_transaction_timeout),
    ):
        connection.execute(text(f"ALTER ROLE CURRENT_USER SET {name} = {int(seconds * 1000)}"))
    connection.execute(text("ALTER ROLE CURRENT_USER SET timezone = 'UTC'"))


def create_chassis_tables() -> None:
    """Outbox and attempts as of version 0.1. Never edited: a later change is a migration of its own in each history.

    The outbox is filled and emptied all day, so vacuum follows it closely.
    """
    for table in (outbox, attempts):
        table.create(op.get_bind())
    op.execute(
        "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,"
        " autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)"
    )


def drop_chassis_tables() -> None:
    """The way back."""
    op.drop_table("attempts")
    op.drop_table("outbox")
