"""The gateway's Flask app."""

from flask import Flask

from chassis import settings as chassis_settings
from chassis.settings import Settings
from chassis.web import create_base_app
from gateway_app.api import add_routes
from gateway_app.upstream import Upstream

SERVICES = ("sales", "inventory", "delivery")


def create_app(settings: Settings | None = None) -> Flask:
    """The public door, ready to serve. Connects to nothing before the first request."""
    settings = settings or chassis_settings.settings()
    app = create_base_app("gateway", settings, [], {})
    app.extensions["upstreams"] = {
        name: Upstream(name, getattr(settings, f"{name}_url"), settings) for name in SERVICES
    }
    add_routes(app)
    return app
