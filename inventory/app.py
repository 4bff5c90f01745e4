"""The web process of inventory."""

from flask import Flask

from chassis.database import open_database
from chassis.few import few_of
from chassis.readiness import database_check, redis_check
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process
from chassis.web import create_base_app
from inventory.api import blueprint


def create_app(settings: Settings | None = None) -> Flask:
    """Inventory's app. Nothing connects before the first request."""
    settings = settings or settings_of_process()
    sessions = open_database("inventory", settings)
    checks = {"database": database_check(sessions), **redis_check(settings)}
    app = create_base_app("inventory", settings, [blueprint], checks, needed=[["database"]])
    app.extensions.update(database=sessions, few=few_of(sessions, settings.web_threads))
    return app
