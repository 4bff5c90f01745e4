"""The public routes: each request goes to its service, and the service's answer comes back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from flask import Flask, Response, current_app, json, request

from chassis.errors import AppError
from chassis.web import CORRELATION_HEADER, correlation_id
from gateway_app.routes import ROUTES, Route
from gateway_app.upstream import Answer, Request, Upstream

#: How long (seconds) a service may take to say that it is well.
HEALTH_TIMEOUT = 1.0

#: What of a client's request reaches the service, by its name in the WSGI environment.
_PASSED_ON = (("CONTENT_TYPE", "Content-Type"), ("HTTP_ACCEPT", "Accept"), ("HTTP_IF_MATCH", "If-Match"))


def add_routes(app: Flask) -> None:
    """Make the app answer every public route."""
    for route in ROUTES:
        app.add_url_rule(route.path, f"{route.method} {route.path}", forwarding(route), methods=[route.method])
    app.add_url_rule("/health", "health", health)


def forwarding(route: Route) -> Callable[..., Response]:
    """The view function of a public route."""

    def view(**_ids: object) -> Response:
        return answer_to_client(upstreams()[route.service].send(inner_request(route)))

    return view


def inner_request(route: Route) -> Request:
    """The request as the service gets it: only the headers that it needs, and none that name a connection."""
    environment = request.environ
    headers = {name: environment[key] for key, name in _PASSED_ON if environment.get(key)}
    headers[CORRELATION_HEADER] = correlation_id()
    query = environment.get("QUERY_STRING")
    return Request(
        route.inner_method or route.method,
        f"{request.path}?{query}" if query else request.path,
        headers,
        request.get_data() or None,
        reads=route.reads,
        repeatable=route.reads or route.repeatable,
    )


def answer_to_client(answer: Answer) -> Response:
    """A service's answer as the client gets it."""
    return Response(answer.body, answer.status, answer.headers)


def health() -> Response:
    """Is every service well? 200, or 503 naming what is down."""
    with ThreadPoolExecutor(len(upstreams())) as pool:
        states = dict(zip(upstreams(), pool.map(_state_of, upstreams().values()), strict=True))
    down = sorted(name for name, state in states.items() if state != "ok")
    body = {"status": "degraded" if down else "ok", "services": {"gateway": "ok", **states}, "down": down}
    headers = {"Retry-After": "5"} if down else {}
    return Response(json.dumps(body), 503 if down else 200, headers, mimetype="application/json")


def upstreams() -> dict[str, Upstream]:
    """The services, by name."""
    return cast("dict[str, Upstream]", current_app.extensions["upstreams"])


def _state_of(service: Upstream) -> str:
    try:
        answer = service.send(Request("GET", "/health/ready", {}), timeout=HEALTH_TIMEOUT)
    except AppError as error:
        return error.code
    return "ok" if answer.status == 200 else "not_ready"
