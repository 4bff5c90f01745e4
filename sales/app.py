"""The sales web app."""

from flask import Flask

from chassis.database import open_database
from chassis.group_commit import GroupCommit
from chassis.outbox import MOST_LINES
from chassis.settings import Settings
from chassis.settings import settings as read_settings
from chassis.web import create_base_app, database_check
from sales import api, operator_api
from sales.backlog import Backlog
from sales.placing import place_orders


def create_app(settings: Settings | None = None) -> Flask:
    """Sales, ready to serve; nothing connects before the first request."""
    settings = settings or read_settings()
    sessions = open_database("sales", settings, backlog=Backlog(settings.max_open_orders))
    blueprints = [api.blueprint, operator_api.blueprint]
    app = create_base_app("sales", settings, blueprints, {"database": database_check(sessions)})
    app.extensions["database"] = sessions
    app.extensions["placing"] = GroupCommit(sessions, place_orders, lambda draft: draft.size, MOST_LINES)
    return app
