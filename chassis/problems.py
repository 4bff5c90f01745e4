"""What a problem document (RFC 9457) holds, and which correlation id a request has: for whoever answers it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from uuid_utils.compat import uuid7

from chassis.errors import AppError

PROBLEM_JSON = "application/problem+json"
CORRELATION_HEADER = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Refused(Exception):
    """A request that is answered before the app gets it."""

    def __init__(self, status: int, code: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.title, self.detail = status, code, title, detail

    @classmethod
    def by(cls, kind: type[AppError], detail: str) -> Self:
        """A refusal of this kind."""
        return cls(kind.status, kind.code, kind.title, detail)


def problem_document(
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    correlation_id: str,
    errors: Sequence[dict[str, str]] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One RFC 9457 problem document; no member of ``extra`` takes the place of one that every document has."""
    return {
        **(extra or {}),
        "type": f"urn:conveyor:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "errors": list(errors),
        "correlation_id": correlation_id,
    }


def correlation_id_of(given: str) -> str:
    """The id that the client gave its request, where it is one; a new one otherwise."""
    return given if _ACCEPTABLE_ID.fullmatch(given) else uuid7().hex


def refusal(
    status: int, code: str, title: str, detail: str, instance: str, correlation_id: str
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A refusal without a thread: headers and body. The connection is closed after it."""
    body = json.dumps(problem_document(status, code, title, detail, instance, correlation_id)).encode()
    headers = {
        "content-type": PROBLEM_JSON,
        "content-length": str(len(body)),
        "connection": "close",
        CORRELATION_HEADER.lower(): correlation_id,
    }
    if status == 503:
        headers["retry-after"] = "1"
    return [(name.encode(), value.encode()) for name, value in headers.items()], body
