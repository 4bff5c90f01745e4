"""The sales web app."""

from flask import Flask
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database
from chassis.few import few_of
from chassis.group_commit import GroupCommit
from chassis.outbox import MOST_LINES
from chassis.readiness import database_check, redis_check
from chassis.reading import ReadTogether
from chassis.settings import Settings
from chassis.settings import settings as read_settings
from chassis.web import create_base_app
from sales import api, operator_api
from sales.backlog import Backlog
from sales.placing import place_orders
from sales.queries import orders_with_items


def create_app(settings: Settings | None = None) -> Flask:
    """Sales, ready to serve; nothing connects before the first request."""
    settings = settings or read_settings()
    sessions = open_database("sales", settings, backlog=Backlog(settings.max_open_orders))
    blueprints = [api.blueprint, operator_api.blueprint]
    checks = {"database": database_check(sessions), **redis_check(settings)}
    app = create_base_app("sales", settings, blueprints, checks, needed=[["database"]])
    attach(app, sessions)
    return app


def attach(app: Flask, sessions: sessionmaker[Session]) -> None:
    """Let the app's requests find this database, alone or together."""
    few = few_of(sessions, app.extensions["settings"].web_threads)
    app.extensions.update(database=sessions, few=few)
    app.extensions["placing"] = GroupCommit(sessions, place_orders, lambda draft: draft.size, MOST_LINES, few)
    app.extensions["showing"] = ReadTogether(sessions, orders_with_items)
