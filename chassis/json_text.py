"""JSON, written and read by msgspec: in a tenth and in half of the time that the standard library takes for an order.

What msgspec leaves out is half of a surrogate pair, which JSON can spell and UTF-8 cannot encode: a client may send it,
PostgreSQL may have it in a ``json`` column, and it must stop nothing that waits behind it.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec


def write_json(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """This value as JSON. ``default`` makes something else of what msgspec does not know; TypeError without it."""
    try:
        return msgspec.json.encode(value, enc_hook=default)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value, enc_hook=default)).encode()


def read_json(text: str | bytes) -> Any:
    """The value that this JSON spells. Raises ValueError where it is none."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)
