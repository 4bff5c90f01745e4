"""The public routes: each request goes to its service, and the service's answer comes back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec
from flask import Flask, Response, current_app, json, request

from chassis.answers import Finished
from chassis.conditions import PRECONDITIONS, conditional
from chassis.problems import CORRELATION_HEADER
from chassis.readiness import OK, Check, Readiness
from chassis.refusing import correlation_id
from chassis.web import DIGEST_HEADER, caller, idempotency_key, request_digest
from gateway_app.idempotency import Keys
from gateway_app.routes import ROUTES, Route
from gateway_app.upstream import Answer, Request, Upstream
from gateway_app.waiting import Waiting, Wish, seconds_to_wait, state_in

#: How long (seconds) a service may take to say that it is well.
HEALTH_TIMEOUT = 1.0

#: What of a client's request reaches the service, by its name in the WSGI environment.
_PASSED_ON = (("CONTENT_TYPE", "Content-Type"), ("HTTP_ACCEPT", "Accept"))


@dataclass(frozen=True, slots=True)
class Door:
    """What stands behind the routes."""

    services: dict[str, Upstream]
    keys: Keys
    waiting: Waiting


def add_routes(app: Flask) -> None:
    """Make the app answer every public route."""
    for route in ROUTES:
        app.add_url_rule(route.path, f"{route.method} {route.path}", forwarding(route), methods=[route.method])
    app.add_url_rule("/health", "health", health)


def forwarding(route: Route) -> Callable[..., Response]:
    """The view function of a public route."""

    def view(**ids: object) -> Response:
        answer = creating(route) if route.creates else service_of(route).send(inner_request(route))
        wish = wish_of(route, ids, answer)
        if wish is not None:
            answer = door().waiting.hold(answer, wish, {CORRELATION_HEADER: correlation_id()})
        return Finished(answer.body, answer.status, answer.headers)

    return view if route.creates else conditional(view)  # what the service makes of it, the service says


def wish_of(route: Route, ids: dict[str, object], answer: Answer) -> Wish | None:
    """What the client of this request waits for; None when it does not, or its request was refused."""
    seconds = seconds_to_wait(request.headers.get("Prefer")) if route.waits else None
    if seconds is None or answer.status >= 300:
        return None
    try:
        order_id = str(ids["order_id"]) if ids else state_in(answer.body).id
        return Wish(seconds, order_id, state_in(request.get_data()).status if route.method == "PATCH" else None)
    except msgspec.DecodeError:
        return None  # the service could read the body (UTF-16, say), and has done what it says


def creating(route: Route) -> Answer:
    """The answer to a request that makes a row, which is made once for an Idempotency-Key."""
    key = idempotency_key()
    if key is None:
        return service_of(route).send(inner_request(route))
    digest = request_digest()
    identity = {"Idempotency-Key": request.headers["Idempotency-Key"], DIGEST_HEADER: digest}
    inner = inner_request(route, identity)
    scope = f"{caller()} {route.method} {route.path}"
    return door().keys.once(scope, key, digest, lambda: service_of(route).send(inner))


def inner_request(route: Route, identity: dict[str, str] | None = None) -> Request:
    """The request as the service gets it: only the headers that it needs, none that belong to the connection."""
    environment = request.environ
    headers = {name: environment[key] for key, name in _PASSED_ON if environment.get(key)}
    preconditions = {name: environment[key] for key, name in PRECONDITIONS.items() if key in environment}
    headers.update(preconditions)
    headers[CORRELATION_HEADER] = correlation_id()
    if identity:
        headers.update(identity)
    repeatable = route.repeatable or bool(identity)
    query = environment.get("QUERY_STRING")
    return Request(
        route.inner_method or route.method,
        f"{request.path}?{query}" if query else request.path,
        headers,
        request.get_data() or None,
        reads=route.reads,
        # With a precondition the second copy may be refused for what the first one did.
        repeatable=route.reads or (repeatable and not preconditions),
    )


def health() -> Response:
    """Is every service well? 200, or 503 naming what is down. Without Redis all are, and it is named."""
    readiness: Readiness = current_app.extensions["readiness"]
    states = readiness.states(fresh_for=0.0)
    down = sorted(name for name, state in states.items() if state != OK)
    services = {name: states[name] for name in door().services}
    body = {"status": "degraded" if down else OK, "services": {"gateway": OK, **services}, "down": down}
    ill = any(state != OK for state in services.values())
    return Response(
        json.dumps(body), 503 if ill else 200, {"Retry-After": "5"} if ill else {}, mimetype="application/json"
    )


def door() -> Door:
    """What stands behind the routes of the app that handles this request."""
    return cast(Door, current_app.extensions["door"])


def service_of(route: Route) -> Upstream:
    """The service that this route goes to."""
    return door().services[route.service]


def service_check(service: Upstream) -> Check:
    """Is this service ready?"""

    def check() -> str | None:
        # Asked itself, whatever its circuit says: health tells how things are, not how they were a moment ago.
        answer = service.ask(Request("GET", "/health/ready", {}), timeout=HEALTH_TIMEOUT)
        return None if answer.status == 200 else "not_ready"

    return check
