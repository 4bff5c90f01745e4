"""Everything that can go wrong on purpose, in one tree.

    ConveyorError
    ├── SettingsError          a process is told something it cannot work with; it ends
    ├── CacheAway              Redis cannot be reached or does not answer in time; the caller uses its fallback
    └── AppError               a request is refused; becomes one application/problem+json answer
        ├── Malformed     400  the request cannot be read
        ├── CrossSite     403  a page of another site made the request
        ├── NotFound      404  there is no such thing
        ├── RequestTimeout 408  did not come in time
        ├── Conflict      409  not in the state that this request needs
        │   └── IllegalTransition  not from this status to that one; says what is allowed
        ├── Stale         412  If-Match names a version that is no longer the newest
        ├── Unjudged      412  a precondition that this route does not judge
        ├── TooLarge      413  over a limit of size
        ├── TooLong       414  a query that no route takes
        ├── Unsupported   415  not JSON
        ├── UnknownHost   421  the Host is no name of this process
        ├── Invalid       422  readable, and against a rule; names the field
        ├── HeadersTooLarge 431  headers too long, or too many
        └── Unavailable   503  a dependency is down; try again after ``retry_after`` seconds
            └── Overloaded     this process has no place for one more

A service's own errors subclass one of these in its ``errors.py`` and give a stable ``code``.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

#: An answer tells of so many mistakes at most; how many it leaves out it says, as far as they were looked for.
MOST_ERRORS = 20
#: The most characters of a name that a client made up, in an answer to him.
LONGEST_NAME = 64


class ConveyorError(Exception):
    """Something went wrong in a way that somebody foresaw."""


class SettingsError(ConveyorError):
    """A setting is missing, unknown or of the wrong kind."""


class CacheAway(ConveyorError):
    """Redis cannot be reached or does not answer in time; use the fallback."""


class AppError(ConveyorError):
    """The request is refused. ``detail`` is a sentence for people; ``extra`` joins the answer's members."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong"
    #: What ``extra`` holds, as the OpenAPI document shows it.
    example: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """``errors`` rows are ``{"field", "message"}``; ``headers`` go out with the answer."""
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}
        self.extra = extra


class Malformed(AppError):
    """The request cannot be read."""

    status, code, title = 400, "malformed_request", "The request cannot be read"


class CrossSite(AppError):
    """A page of another site made the request."""

    status, code, title = 403, "cross_site", "Not from another site's page"


class NotFound(AppError):
    """There is no such thing."""

    status, code, title = 404, "not_found", "Not found"


class RequestTimeout(AppError):
    """The request did not come in time. The connection is closed."""

    status, code, title = 408, "request_timeout", "Request Timeout"


class Conflict(AppError):
    """Not in the state that this request needs."""

    status, code, title = 409, "conflict", "Conflict"


class IllegalTransition(Conflict):
    """Not from this status to that one; the answer's ``from``, ``to`` and ``allowed`` say what is."""

    code, title = "illegal_transition", "Not possible in this status"

    def __init__(self, detail: str, current: str, to: str, allowed: Sequence[str]) -> None:
        members: dict[str, Any] = {"from": str(current), "to": str(to), "allowed": [str(each) for each in allowed]}
        super().__init__(detail, **members)


class Stale(AppError):
    """If-Match names a version that is no longer the newest."""

    status, code, title = 412, "stale_version", "The resource has changed"


class Unjudged(AppError):
    """A precondition that this route does not judge: nothing was changed."""

    status, code, title = 412, "precondition_not_supported", "This precondition is not judged here"


class TooLarge(AppError):
    """Over a limit of size."""

    status, code, title = 413, "too_large", "Too large"


class TooLong(AppError):
    """A query that no route takes."""

    status, code, title = 414, "uri_too_long", "The query is too long"


class Unsupported(AppError):
    """The body is not JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class UnknownHost(AppError):
    """The Host is no name of this process."""

    status, code, title = 421, "unknown_host", "Nobody here answers to this Host"


class Invalid(AppError):
    """Readable, and against a rule."""

    status, code, title = 422, "invalid", "Invalid"


class HeadersTooLarge(AppError):
    """The headers are too long, or too many. The connection is closed."""

    status, code, title = 431, "headers_too_large", "Request Header Fields Too Large"


class Unavailable(AppError):
    """A dependency is down; nothing was changed."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: int = 5, **extra: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, **extra)


class Overloaded(Unavailable):
    """This process has no place for one more request. The connection is closed."""

    code, title = "overloaded", "Service Unavailable"


#: What any request may be answered by the front, before the app has it.
OF_THE_FRONT = (RequestTimeout, HeadersTooLarge, Overloaded)
