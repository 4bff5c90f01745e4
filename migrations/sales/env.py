"""Alembic's entry into this history."""

from chassis.migrations import run
from sales.models import metadata

run("sales", metadata)
