"""Alembic's entry into this history."""

from chassis.migrations import run
from inventory.models import metadata

run("inventory", metadata)
