"""The base of every Flask app: one error handler, correlation ids, health, OpenAPI.

Every answer that is not a success is ``application/problem+json`` (RFC 9457) with a stable ``code``, ``errors[]`` and
``correlation_id``. No stack trace and no HTML page ever leaves an app built here.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, cast

import structlog
from flask import Flask, Response, current_app, g, json, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session, sessionmaker

from chassis.answers import JsonAnswers
from chassis.conditions import answer_of_read, refuse_unjudged
from chassis.documents import VERSION, Document, complete, describing, publish
from chassis.errors import AppError, Stale, TooLong, Unavailable, Unsupported
from chassis.hosts import Hosts
from chassis.idempotency import RequestKey, read_key
from chassis.ids import Serial, SerialOrUuid, describe_serial_or_uuid
from chassis.problems import CORRELATION_HEADER, correlation_id_of
from chassis.readiness import OK, Check, Readiness
from chassis.refusing import ProblemApi, correlation_id, problem_of, unforeseen
from chassis.settings import Settings

log = structlog.get_logger()

#: Set by the gateway, which alone sees the request as the client sent it.
DIGEST_HEADER = "X-Request-Digest"
#: What no route's parameters come near, in bytes and in number.
LONGEST_QUERY, MOST_PARAMETERS = 16_384, 100


def create_base_app(
    name: str,
    settings: Settings,
    blueprints: Iterable[Blueprint],
    checks: Mapping[str, Check],
    document: Callable[[], Document] | None = None,
    needed: Iterable[Collection[str]] | None = None,
) -> Flask:
    """An app with everything that all apps share. ``checks`` are of what it depends on (chassis.readiness).

    It is ready while of each group in ``needed`` one is there, by default each; without others it works less well.
    ``document`` makes the OpenAPI document, where it is not the blueprints'.
    """
    app = Flask(name, static_folder=None)
    app.json = JsonAnswers(app)
    app.url_map.converters |= {"int": Serial, "serial_or_uuid": SerialOrUuid}
    app.url_map.merge_slashes = False  # what werkzeug would answer instead of 404 is a redirect, as an HTML page
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        API_TITLE=f"Conveyor {name}",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        PROPAGATE_EXCEPTIONS=False,
    )
    app.extensions["settings"] = settings
    hosts = Hosts(settings)
    app.before_request(_identify)
    app.before_request(lambda: hosts.check(request.environ))
    app.before_request(_refuse_long_query)
    app.before_request(refuse_unjudged)
    app.before_request(_refuse_other_media)
    app.after_request(_sign)
    _add_health(app, Readiness(checks, needed))
    api = ProblemApi(app)
    api.register_converter(SerialOrUuid, describe_serial_or_uuid)
    api.ma_plugin.converter.add_attribute_function(describing(settings))
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    publish(app, document or cache(lambda: complete(api.spec.to_dict(), app)))
    app.register_error_handler(AppError, problem_of)
    app.register_error_handler(Exception, unforeseen)
    return app


def database() -> sessionmaker[Session]:
    """Sessions on the database of the app that handles this request."""
    return cast("sessionmaker[Session]", current_app.extensions["database"])


def caller() -> str:
    """Who sends this request: everybody is the same caller, as long as nobody logs in."""
    return "public"


def request_key() -> RequestKey | None:
    """What identifies a creating request that may be sent twice; None when the client sent no key. Raises Invalid."""
    key = idempotency_key()
    if key is None:
        return None
    return RequestKey(caller(), key, request.headers.get(DIGEST_HEADER) or request_digest())


def idempotency_key() -> str | None:
    """The client's key for this request, or None. Raises Invalid."""
    header = request.headers.get("Idempotency-Key")
    return None if header is None else read_key(header)


def request_digest() -> str:
    """SHA-256 of method, path and raw body, in hex: what makes two requests the same request."""
    head = f"{request.method} {request.path}\n".encode()
    return hashlib.sha256(head + request.get_data()).hexdigest()


def _identify() -> None:
    g.correlation_id = correlation_id_of(request.headers.get(CORRELATION_HEADER, ""))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(correlation_id=g.correlation_id)


def _refuse_long_query() -> None:
    query = request.query_string
    if len(query) > LONGEST_QUERY or query.count(b"&") >= MOST_PARAMETERS:
        raise TooLong(f"A query has at most {LONGEST_QUERY} bytes and {MOST_PARAMETERS} parameters.")


def _refuse_other_media() -> None:
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    if request.content_length and not request.is_json:
        raise Unsupported(f"Send application/json, not {request.mimetype or 'a body without Content-Type'}.")


def _sign(answer: Response) -> Response:
    try:
        answer = answer_of_read(answer)
    except Stale as stale:
        answer = problem_of(stale)
    answer.headers[CORRELATION_HEADER] = correlation_id()
    return answer


def _add_health(app: Flask, readiness: Readiness) -> None:
    app.extensions["readiness"] = readiness

    @app.get("/health/live")
    def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready")
    def ready() -> Response:
        states = readiness.states()
        down = sorted(name for name, state in states.items() if state != OK)
        if not readiness.is_of_use(down):
            return problem_of(Unavailable(f"down: {', '.join(down)}", down=down))
        body: dict[str, Any] = {"status": "degraded" if down else "ok", "checked": sorted(states)}
        return Response(json.dumps({**body, "down": down} if down else body), mimetype="application/json")
