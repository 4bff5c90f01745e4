"""Conditional requests (RFC 9110, section 13): a precondition is judged or refused, never passed over.

A change is made on ``If-Match`` alone, and only by routes that are ``conditional``: elsewhere a client who asked to be
protected by a header would find out afterwards that nobody had looked at it. A header that is empty, or that the server
made empty since it was not ASCII, is there all the same, and matches nothing.

A read honours ``If-Match`` and ``If-None-Match``. Those with dates it need not look at: no resource here has such a
date, and the whole answer is right (RFC 9110, 13.1.3 and 13.1.4).
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Response, current_app, request

from chassis.errors import LONGEST_NAME, Stale, Unjudged

#: By their names in the WSGI environment.
PRECONDITIONS = {
    "HTTP_IF_MATCH": "If-Match",
    "HTTP_IF_NONE_MATCH": "If-None-Match",
    "HTTP_IF_MODIFIED_SINCE": "If-Modified-Since",
    "HTTP_IF_UNMODIFIED_SINCE": "If-Unmodified-Since",
    "HTTP_IF_RANGE": "If-Range",
}

#: An ETag of a read that has more than the version.
_PART = re.compile(r'"([0-9]+)-[0-9]+"')

View = TypeVar("View", bound=Callable[..., Any])


def conditional(view: View) -> View:
    """Mark a route that judges ``If-Match`` by ``check_version`` or ``version_check`` before it changes anything."""
    view.conditional = True  # type: ignore[attr-defined]
    return view


def refuse_unjudged() -> None:
    """Refuse a change with a precondition that nobody would judge. Raises Unjudged."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    judged = getattr(current_app.view_functions.get(request.endpoint or ""), "conditional", False)
    for variable, name in PRECONDITIONS.items():
        if variable in request.environ and not (judged and name == "If-Match"):
            instead = "send If-Match" if judged else "send none"
            raise Unjudged(f"{name} is not judged here, so nothing was changed: {instead}.")


def check_version(version: int) -> None:
    """Refuse the request if it was made for other versions than this one (``If-Match``). Raises Stale."""
    version_check()(version)


def version_check(*, parts: bool = False) -> Callable[[int], None]:
    """``check_version`` for work that runs in another request's thread.

    ``parts`` where reads are tagged with more than the version (``etag``): a change is judged by the version alone.
    """
    wanted = request.headers.get("If-Match")
    return partial(_refuse_stale, _PART.sub(r'"\1"', wanted) if parts and wanted else wanted)


def _refuse_stale(wanted: str | None, version: int) -> None:
    if wanted is not None and not {"*", etag(version)} & _tags(wanted):
        raise Stale(f"If-Match is {shown(wanted)}, the newest version is {etag(version)}. Read it again.")


def etag(version: int, part: int | None = None) -> str:
    """The ETag of a version number; ``part`` tells what is read at the same version apart."""
    return f'"{version}"' if part is None else f'"{version}-{part}"'


def answer_of_read(answer: Response) -> Response:
    """The answer to a read, by its preconditions: as it is, or 304 without a body. Raises Stale."""
    if request.method not in ("GET", "HEAD") or answer.status_code != 200:
        return answer
    tag = answer.headers.get("ETag", "")
    wanted, known = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if wanted is not None and not {"*", tag or "*"} & _tags(wanted):
        raise Stale(f"If-Match is {shown(wanted)}, the newest version is {tag or 'not numbered'}.")
    if known is not None and {"*", tag or "*"} & {each.removeprefix("W/") for each in _tags(known)}:
        return Response(status=304, headers={"ETag": tag} if tag else {})
    return answer


def _tags(header: str) -> set[str]:
    return {each.strip() for each in header.split(",")}


def shown(header: str) -> str:
    """A header in a sentence for the client that sent it."""
    return header[:LONGEST_NAME] or "empty, or not ASCII"
