"""Alembic's entry into this history."""

from chassis.migrations import run
from delivery.models import metadata

run("delivery", metadata)
