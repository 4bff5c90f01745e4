"""What every service's OpenAPI document says of refusals: one schema, its own media type, an example of each."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask_smorest import Blueprint
from marshmallow import INCLUDE, Schema, fields

from chassis.errors import AppError
from chassis.problems import PROBLEM_JSON

_PROBLEM = "#/components/schemas/Problem"

View = TypeVar("View", bound=Callable[..., Any])


class ProblemField(Schema):
    """One field of a refused request."""

    field = fields.String(required=True, metadata={"example": "items.0.quantity"})
    message = fields.String(required=True, metadata={"example": "Must be a whole number."})


class Problem(Schema):
    """RFC 9457; a refusal may have further members of its own."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(required=True, metadata={"example": "urn:conveyor:problem:invalid"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "stable; what a program looks at"})
    errors = fields.List(fields.Nested(ProblemField), required=True)
    more_errors = fields.Integer(metadata={"description": "how many were left out of `errors`, at least"})
    correlation_id = fields.String(required=True)


def refuses(blueprint: Blueprint, *errors: type[AppError]) -> Callable[[View], View]:
    """Document that a route may refuse with these errors. Raising them is the business of what the route calls."""
    by_status: dict[int, list[type[AppError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)

    def document(view: View) -> View:
        for status, kinds in by_status.items():
            described = "; ".join(f"`{each.code}`: {each.title}" for each in kinds)
            examples = {each.code: {"value": example_of(each)} for each in kinds}
            answer = blueprint.alt_response(
                status, schema=Problem, content_type=PROBLEM_JSON, description=described, examples=examples
            )
            view = answer(view)
        return view

    return document


def add_refusal(operation: dict[str, Any], error: type[AppError]) -> None:
    """Add a refusal to an operation of a finished document."""
    answers = operation["responses"]
    status = str(error.status)
    if "content" not in answers.get(status, {}):
        answers[status] = {"description": "", "content": {PROBLEM_JSON: {"schema": {"$ref": _PROBLEM}}}}
    answer = answers[status]
    answer["description"] = "; ".join(filter(None, [answer["description"], f"`{error.code}`: {error.title}"]))
    content = answer["content"].setdefault(PROBLEM_JSON, {"schema": {"$ref": _PROBLEM}})
    content.setdefault("examples", {})[error.code] = {"value": example_of(error)}


def example_of(error: type[AppError]) -> dict[str, Any]:
    """What a client sees of this refusal."""
    return {
        "type": f"urn:conveyor:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": (error.__doc__ or error.title).splitlines()[0],
        "instance": "/",
        "code": error.code,
        "errors": [],
        "correlation_id": "01920f3e7d4c7bb2a3c5d8e9f0a1b2c3",
        **error.example,
    }
