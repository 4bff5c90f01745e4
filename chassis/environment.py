"""A request as a WSGI app gets it (PEP 3333), its body already there."""

import sys
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SAME_FOR_ALL: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def environment_of(scope: dict[str, Any], body: bytes) -> "WSGIEnvironment":
    """The environment of an ASGI request. How a body came, in chunks or not, is no longer to be seen."""
    server, client = scope["server"] or ("", None), scope["client"] or ("", 0)
    environment = {
        **_SAME_FOR_ALL,
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "REMOTE_ADDR": client[0],
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "wsgi.input": BytesIO(body),
    }
    for name, value in scope["headers"]:
        key = _variable(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key in environment:
            text = f"{environment[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environment[key] = text
    if body:
        environment["CONTENT_LENGTH"] = str(len(body))
    return environment


@lru_cache(maxsize=256)
def _variable(name: bytes) -> str | None:
    """A header's name in the environment. None for one with an underscore: it would pass for another header."""
    if b"_" in name or name == b"transfer-encoding":
        return None
    upper = name.decode("latin-1").upper().replace("-", "_")
    return upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"
