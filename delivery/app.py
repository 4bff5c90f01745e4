"""The web process of delivery."""

from flask import Flask
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database
from chassis.few import few_of
from chassis.group_commit import GroupCommit
from chassis.outbox import MOST_ORDERS
from chassis.readiness import database_check, redis_check
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process
from chassis.web import create_base_app
from delivery.api import blueprint
from delivery.scans import follow_couriers


def create_app(settings: Settings | None = None) -> Flask:
    """Delivery's app. Nothing connects before the first request."""
    settings = settings or settings_of_process()
    sessions = open_database("delivery", settings)
    checks = {"database": database_check(sessions), **redis_check(settings)}
    app = create_base_app("delivery", settings, [blueprint], checks, needed=[["database"]])
    attach(app, sessions)
    return app


def attach(app: Flask, sessions: sessionmaker[Session]) -> None:
    """Let the app's requests find this database, alone or together."""
    few = few_of(sessions, app.extensions["settings"].web_threads)
    app.extensions.update(database=sessions, few=few)
    app.extensions["following"] = GroupCommit(sessions, follow_couriers, lambda _report: 1, MOST_ORDERS, few)
