"""The gateway's Flask app."""

from pathlib import Path

from flask import Flask

from chassis.cache import Cache
from chassis.readiness import answering
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process
from chassis.web import create_base_app
from gateway_app.api import Door, add_routes, service_check
from gateway_app.idempotency import Keys
from gateway_app.openapi import PublicDocument
from gateway_app.upstream import Upstream
from gateway_app.waiting import Waiting

SERVICES = ("sales", "inventory", "delivery")


def create_app(settings: Settings | None = None) -> Flask:
    """The public door, ready to serve. Connects to nothing before the first request. Raises SettingsError."""
    settings = settings or settings_of_process()
    cache = Cache(settings.require("redis_url"), settings.redis_timeout)
    services = {name: Upstream(name, getattr(settings, f"{name}_url"), settings) for name in SERVICES}
    checks = {**{name: service_check(each) for name, each in services.items()}, "redis": answering(cache)}
    app = create_base_app("gateway", settings, [], checks, PublicDocument(services), needed=[SERVICES])
    app.config.update(API_TITLE="Conveyor API", DOCS_EXAMPLES=Path(__file__).with_name("examples.js"))
    waiting = Waiting(cache, services["sales"], settings)
    app.extensions["door"] = Door(services, Keys(cache), waiting)
    app.extensions["stopping"] = waiting.stopping
    add_routes(app)
    return app
