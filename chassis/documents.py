"""An app's OpenAPI document at ``/openapi.json`` and its page at ``/docs``, which needs nothing from outside.

flask-smorest derives the document from the routes and schemas; what follows from how all our apps behave is added here,
so that no route has to repeat it.
"""

import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, json

from chassis.docs_page import add_page
from chassis.errors import OF_THE_FRONT
from chassis.fields import Mail, Money, Several, Text, WholeNumber, limit_of
from chassis.notation import LONGEST
from chassis.openapi import add_refusal
from chassis.settings import Settings

Document = dict[str, Any]

#: The release that this is; each document says so.
VERSION = version("conveyor")

METHODS = ("get", "post", "put", "patch", "delete")

#: A header parameter that a route shares with its neighbours on the same path belongs to these methods only.
_METHODS_WITH = {"If-Match": ("put", "patch"), "Idempotency-Key": ("post",)}

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "example": '"2"',
    "description": "the ETag that the change was decided on; any other version answers 412",
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3",
    "description": "makes it safe to send the request again: it is carried out once, and the answer is the same",
}


def text_header(description: str, example: str) -> Document:
    """A header of an answer."""
    return {"description": description, "schema": {"type": "string"}, "example": example}


ETAG = text_header("the version, for If-Match", '"2"')
LOCATION = text_header("where the new resource is", "/things/01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3")
REPLAYED = text_header("`true`: this request was carried out before, and not again", "true")


def publish(app: Flask, document: Callable[[], Document]) -> None:
    """Answer ``/openapi.json`` with this document, ``/docs`` with a page that shows it and can try it out, ``/`` with
    where to go."""

    def openapi_json() -> Response:
        return Response(json.dumps(document(), sort_keys=False), mimetype="application/json")

    app.add_url_rule("/openapi.json", "openapi_json", openapi_json)
    add_page(app)
    app.add_url_rule("/", "signpost", lambda: signpost(app))


def signpost(app: Flask) -> dict[str, str]:
    """Where to go from here: the pages about this process, and the lists that it has."""
    rules = [each for each in app.url_map.iter_rules() if "GET" in (each.methods or ()) and not each.arguments]
    paths = sorted(each.rule for each in rules)
    about = {"docs": "/docs", "openapi": "/openapi.json"}
    about["health"] = "/health" if "/health" in paths else "/health/ready"
    lists = {path[1:]: path for path in paths if re.fullmatch("/[a-z]+", path) and path not in about.values()}
    return {"name": f"Conveyor {app.name}", **about, **lists}


def complete(document: Document, app: Flask) -> Document:
    """The document with what all our apps have in common."""
    document["servers"] = [{"url": "/"}]
    names = {
        (method.lower(), template(rule.rule)): rule.endpoint.rpartition(".")[2]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, item in document["paths"].items():
        shared = item.pop("parameters", [])
        for method, operation in operations(item):
            operation["operationId"] = names[method, path]
            own = [each for each in shared if method in _METHODS_WITH.get(each["name"], METHODS)]
            operation["parameters"] = own + operation.get("parameters", [])
            _describe_headers(document, method, operation)
            for kind in OF_THE_FRONT:
                add_refusal(operation, kind)
            prefill_what_is_required(operation)
    return pruned(document)


def template(rule: str) -> str:
    """The path of a route as OpenAPI writes it."""
    return re.sub(r"<(?:[^<>]*:)?([^<>:]+)>", r"{\1}", rule)


def operations(item: Document) -> Iterator[tuple[str, Document]]:
    """The operations of a path, by method."""
    return ((method, item[method]) for method in METHODS if method in item)


def _describe_headers(document: Document, method: str, operation: Document) -> None:
    if method in ("put", "patch"):
        add_parameter(operation, IF_MATCH)
    for status, answer in operation["responses"].items():
        if status == "201":
            add_header(answer, "Location", LOCATION)
        if status.startswith("2") and "version" in _properties(document, answer):
            add_header(answer, "ETag", ETAG)


def add_header(answer: Document, name: str, header: Document) -> None:
    """Add a header to an answer, unless it describes it itself."""
    answer.setdefault("headers", {}).setdefault(name, header)


def add_parameter(operation: Document, parameter: Document) -> None:
    """Add a header parameter, unless the operation describes it itself."""
    parameters = operation.setdefault("parameters", [])
    if parameter["name"] not in [each.get("name") for each in parameters]:
        parameters.append(parameter)


def prefill_what_is_required(operation: Document) -> None:
    """A page that tries requests out sends every example. What may be left out has its example in words instead."""
    operation["parameters"] = [_in_words(each) for each in operation.get("parameters", [])]


def _in_words(parameter: Document) -> Document:
    if parameter["in"] not in ("query", "header") or parameter.get("required"):
        return parameter
    schema = {name: value for name, value in parameter.get("schema", {}).items() if name != "example"}
    said = {name: value for name, value in parameter.items() if name != "example"} | {"schema": schema}
    example = parameter.get("example", parameter.get("schema", {}).get("example"))
    if example is not None and "enum" not in schema:
        said["description"] = "; ".join(filter(None, [parameter.get("description"), f"such as `{example}`"]))
    return said


def _properties(document: Document, answer: Document) -> Document:
    """The properties of the object in an answer."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Document = document["components"]["schemas"].get(name, schema).get("properties", {})
    return found


def pruned(document: Document) -> Document:
    """The document without the components that nothing refers to."""
    wanted: set[str] = set()
    waiting = list(_references(document["paths"]))
    while waiting:
        reference = waiting.pop()
        if reference not in wanted:
            wanted.add(reference)
            _, _, kind, name = reference.split("/")
            waiting += _references(document["components"][kind][name])
    components = {
        kind: {name: each for name, each in rows.items() if f"#/components/{kind}/{name}" in wanted}
        for kind, rows in document["components"].items()
    }
    return {**document, "components": {kind: rows for kind, rows in components.items() if rows}}


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


def describing(settings: Settings) -> Callable[..., Document]:
    """What the document says of a field beyond what apispec makes of its marshmallow validators."""

    def describe(_converter: Any, field: Any, ret: Document, **_options: Any) -> Document:
        if isinstance(field, Money):
            return _amount(field, ret)
        if isinstance(field, Text):
            return {"pattern": field.pattern, **({"format": "email"} if isinstance(field, Mail) else {})}
        if isinstance(field, Several):
            return {"maxItems": limit_of(field.most, settings)}
        if isinstance(field, WholeNumber) and field.most is not None:
            return {"maximum": limit_of(field.most, settings)}
        return {}

    return describe


def _amount(field: Money, ret: Document) -> Document:
    """Amounts are decimal strings; what the field's rules alone would say is: numbers, with bounds in quotes."""
    for bound in ("minimum", "maximum"):
        ret.pop(bound, None)
    kind: Any = ["string", "null"] if field.allow_none else "string"
    shape = {"format": "decimal", "pattern": field.pattern, "maxLength": LONGEST}
    return {"type": kind, **shape, "example": ret.get("example", "2.55")}
