"""The public OpenAPI document: the services' documents as far as they are public, and what the gateway adds to them."""

import copy
import time
from typing import Any

import structlog
from flask import json

from chassis.documents import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    REPLAYED,
    VERSION,
    Document,
    add_header,
    add_parameter,
    prefill_what_is_required,
    pruned,
    template,
    text_header,
)
from chassis.errors import OF_THE_FRONT, Unavailable
from chassis.idempotency import IdempotencyKeyReused
from chassis.openapi import add_refusal
from gateway_app.errors import CircuitOpen, UpstreamBroken, UpstreamBusy, UpstreamDown, UpstreamTimeout
from gateway_app.routes import ROUTES, Route
from gateway_app.upstream import Request, Upstream
from gateway_app.waiting import LONGEST_WAIT

log = structlog.get_logger()

#: How long (seconds) the services' documents are taken to be what they were.
FRESH_FOR = 60.0

#: How long (seconds) a service may take to hand its document out.
TIMEOUT = 3.0

_ABOUT = """Orders, customers, products, stock and deliveries, behind one door.

Every answer that is not a success is `application/problem+json` with a stable `code`. Send an `X-Request-ID` of your
own, or take the one in the answer: it joins the logs of everything that the request set off. After a 503 `code` and
`may_have_been_executed` say whether the request may have been carried out; with an `Idempotency-Key` it is always safe
to send it again. A request is answered 421 when its `Host` is no name of this door, and 403 when a page of another site
made it and it may change something."""

_PREFER = {
    "in": "header",
    "name": "Prefer",
    "schema": {"type": "string"},
    "example": "wait=10",
    "description": f"`wait=N`: hold the answer until the order has come to rest, N seconds ({LONGEST_WAIT} at most)",
}
_APPLIED = text_header("the wait that was granted; absent when too many waited already", "wait=10")


class PublicDocument:
    """The document, made anew now and then; while a service is down it is what it was."""

    def __init__(self, services: dict[str, Upstream]) -> None:
        self._services = services
        self._made: Document | None = None
        self._fresh_until = 0.0

    def __call__(self) -> Document:
        """The document. Raises Unavailable when it was never made and a service is down."""
        if self._made is None or time.monotonic() > self._fresh_until:
            try:
                self._made = merged({name: _document_of(each) for name, each in self._services.items()})
            except Unavailable:
                if self._made is None:
                    raise
            self._fresh_until = time.monotonic() + FRESH_FOR
        return self._made


def _document_of(service: Upstream) -> Document:
    found: Document = json.loads(service.send(Request("GET", "/openapi.json", {}), TIMEOUT).body)
    return found


def merged(documents: dict[str, Document]) -> Document:
    """The public document out of the services' own, by service."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        path, method = template(route.path), (route.inner_method or route.method).lower()
        operation = documents[route.service]["paths"].get(path, {}).get(method)
        if operation is None:
            log.warning("route_not_documented", route=f"{route.method} {path}", service=route.service)
            continue
        paths.setdefault(path, {})[route.method.lower()] = _public(route, copy.deepcopy(operation))
    components: dict[str, Any] = {}
    for document in documents.values():
        for kind, rows in document["components"].items():
            components.setdefault(kind, {}).update(rows)
    return pruned(
        {
            "openapi": "3.1.0",
            "info": {"title": "Conveyor", "version": VERSION, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "tags": _tags(paths, documents),
            "paths": {**paths, **_HEALTH},
            "components": components,
        }
    )


def _tags(paths: dict[str, Any], documents: dict[str, Document]) -> list[Document]:
    """What the operations are sorted by, in the order of the routes; none is empty."""
    described = {tag["name"]: tag for document in documents.values() for tag in document.get("tags", [])}
    used = [tag for item in paths.values() for operation in item.values() for tag in operation["tags"]]
    return [_TAGS.get(name) or described[name] for name in dict.fromkeys(used)] + [_HEALTH_TAG]


def _public(route: Route, operation: Document) -> Document:
    """An operation with what the gateway adds to it."""
    for error in (UpstreamDown, UpstreamTimeout, UpstreamBroken, CircuitOpen, UpstreamBusy):
        add_refusal(operation, error)
    add_header(operation["responses"]["503"], "Retry-After", text_header("seconds", "5"))
    if route.creates:
        add_parameter(operation, IDEMPOTENCY_KEY)
        add_header(operation["responses"]["201"], "Idempotent-Replayed", REPLAYED)
        add_refusal(operation, IdempotencyKeyReused)
    if route.waits:
        _describe_waiting(operation)
    if route.method == "PATCH":
        add_parameter(operation, IF_MATCH)
    prefill_what_is_required(operation)
    operation["tags"] = [_TAG_OF.get(route.path.split("/")[1], tag) for tag in operation.get("tags", [])]
    return operation


def _describe_waiting(operation: Document) -> None:
    add_parameter(operation, _PREFER)
    answers = operation["responses"]
    if "202" in answers:
        answers.setdefault("200", {**answers["202"], "description": "It has come to rest, or nothing had to be done"})
    for status in [each for each in answers if each.startswith("2")]:
        add_header(answers[status], "Preference-Applied", _APPLIED)


#: To those outside a resource is a chapter, whatever service has it: by the first word of its path.
_TAG_OF = {"orders": "orders", "customers": "customers", "check-availability": "products"}
_TAGS = {
    "orders": {"name": "orders", "description": "Orders, and what becomes of them"},
    "customers": {"name": "customers", "description": "Who buys"},
}


def _health(summary: str, answers: dict[str, str]) -> Document:
    states = {"type": "object", "properties": {"status": {"type": "string", "example": "ok"}}}
    responses = {
        status: {"description": description, "content": {"application/json": {"schema": states}}}
        for status, description in answers.items()
    }
    operation: Document = {"summary": summary, "tags": ["health"], "responses": responses}
    for kind in OF_THE_FRONT:
        add_refusal(operation, kind)
    return {"get": operation}


_HEALTH_TAG = {"name": "health", "description": "How the gateway and the services are"}
_HEALTH = {
    "/health": _health("Is every service well?", {"200": "All are", "503": "`down` names those that are not"}),
    "/health/live": _health("Does the gateway answer?", {"200": "It does"}),
    "/health/ready": _health(
        "Can the gateway be sent requests?",
        {"200": "It can; `down` names what it has to do without", "503": "No service is there"},
    ),
}
