"""Errors as answers: every one is ``application/problem+json`` (RFC 9457), whoever raised it."""

import re
from collections.abc import Mapping
from typing import Any, cast

import structlog
from flask import Response, current_app, g, json, request
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from chassis.database import Fault, fault_of
from chassis.errors import LONGEST_NAME, MOST_ERRORS, AppError, Unavailable
from chassis.openapi import Problem
from chassis.problems import PROBLEM_JSON, problem_document
from chassis.settings import Settings

log = structlog.get_logger()


def current_settings() -> Settings:
    """The settings of the app that handles this request."""
    return cast(Settings, current_app.extensions["settings"])


def correlation_id() -> str:
    """The id that joins this request's logs, messages and answers."""
    return str(g.get("correlation_id", ""))


class ProblemApi(Api):  # type: ignore[misc]
    """flask-smorest, with its errors turned into problem+json, in its answers and in the OpenAPI document."""

    ERROR_SCHEMA = Problem

    def _register_responses(self) -> None:
        """The document's usual answers: smorest has one media type for all, and calls these JSON."""
        self.DEFAULT_RESPONSE_CONTENT_TYPE = PROBLEM_JSON
        super()._register_responses()
        del self.DEFAULT_RESPONSE_CONTENT_TYPE

    def handle_http_exception(self, error: HTTPException) -> Response:
        """One body for what Flask, webargs and smorest refuse."""
        status = error.code or 500
        data = getattr(error, "data", None) or {}
        errors = _flatten(data.get("messages", data.get("errors", {})))
        code = {400: "malformed_request", 413: "too_large", 415: "unsupported_media_type", 422: "invalid"}.get(
            status, re.sub(r"[^a-z]+", "_", error.name.lower())
        )
        detail = error.description or error.name
        if errors:
            detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors[:5])
        elif status == 413:
            detail = f"The body may have at most {current_settings().max_body_bytes} bytes."
        allowed = getattr(error, "valid_methods", None)
        headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
        return problem(status, code, error.name, detail, errors=errors, headers=headers)


def problem_of(error: AppError) -> Response:
    """The answer to a refused request."""
    return problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        errors=error.errors,
        headers=error.headers,
        extra=error.extra,
    )


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """One RFC 9457 problem document; a member of ``extra`` that every document has is left out."""
    errors = errors or []
    if len(errors) > MOST_ERRORS:
        extra = {**(extra or {}), "more_errors": len(errors) - MOST_ERRORS}
    body = problem_document(status, code, title, detail, request.path, correlation_id(), errors[:MOST_ERRORS], extra)
    answer = Response(json.dumps(body), status, mimetype=PROBLEM_JSON)
    answer.headers.update(headers or {})
    return answer


def unforeseen(error: Exception) -> Response:
    fault = fault_of(error)
    if fault is Fault.HELD:
        log.warning("row_held", path=request.path)
        refusal = "Another transaction holds what this request needs; nothing was changed. Try again."
        return problem_of(Unavailable(refusal))
    if fault is not Fault.OTHER:
        log.warning("database_away", error=str(error), path=request.path)
        return problem_of(Unavailable("The database cannot serve now; nothing was changed. Try again."))
    log.error("unforeseen", path=request.path, method=request.method, exc_info=error)
    return problem(500, "internal_error", "Something went wrong", "This is our mistake, and it is on record.")


def _flatten(messages: Any, path: str = "") -> list[dict[str, str]]:
    """webargs' nested messages as rows: ``{"json": {"items": {0: {"quantity": [..]}}}}`` -> ``items.0.quantity``."""
    if isinstance(messages, Mapping):
        rows = []
        for key, inner in messages.items():
            name = str(key)[:LONGEST_NAME]
            outermost = not path and name in ("json", "query", "headers", "path", "files")
            below = path if outermost or name == "_schema" else f"{path}.{name}".lstrip(".")
            rows += _flatten(inner, below)
        return rows
    several = messages if isinstance(messages, list) else [messages]
    return [{"field": path or "body", "message": str(each)} for each in several]
