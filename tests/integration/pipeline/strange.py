"""Messages that no worker of ours can work on: what a stranger, another version or a broken disk could send.

Each has its own body, so that each is found again; all name a task that the worker knows, unless that is what is wrong.
"""

import gzip
import json
import pickle
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from uuid_utils.compat import uuid7

TASK = "inventory.check_availability"


@dataclass(frozen=True)
class Strange:
    """One of them. ``properties`` are the AMQP properties that differ from an ordinary message's."""

    what: str
    body: bytes
    headers: dict[str, Any]
    properties: dict[str, str] = field(default_factory=dict)


def message_to(task: str, *orders: Any, links: Sequence[Any] = ()) -> Strange:
    """A message about these orders, as the relay would send it; ``links`` follow, next one first."""
    body = json.dumps([[orders], {}, {"chain": list(links)[::-1]}]).encode()
    return Strange(task, body, {"task": task, "id": str(uuid7())})


def _envelope(what: str, *parts: Any) -> bytes:
    """Arguments, keywords, what follows; of a bundle that says which one it is."""
    return json.dumps(parts or [[[{"order_id": what}]], {}, {}]).encode()


def _bodies() -> dict[str, bytes]:
    shapes: dict[str, Any] = {
        "a number": 7,
        "null": None,
        "true": True,
        "a word": "word",
        "the word args": "args",
        "an empty object": {},
        "an object with args": {"args": 7},
        "the first protocol's object": {"args": [[]], "kwargs": {}, "task": TASK, "id": "1"},
        "an empty list": [],
        "two parts": [[], {}],
        "four parts": [[], {}, {}, {}],
        "parts of the wrong kind": [7, 7, 7],
        "parts that are null": [None, None, None],
        "arguments that are a word": ["abc", {}, {}],
        "keywords": [[["with keywords"]], {"a": 1}, {}],
        "a word follows": [[["a word follows"]], {}, "x"],
        "a list follows": [[["a list follows"]], {}, [1]],
        "links that are a number": [[["number"]], {}, {"chain": 7}],
        "links that are a word": [[["word"]], {}, {"chain": "abc"}],
        "a link that names no task": [[["no task"]], {}, {"chain": [{"args": []}]}],
        "a link that names an unknown task": [[["unknown"]], {}, {"chain": [{"task": "inventory.no", "args": []}]}],
        "a link whose task is a list": [[["list"]], {}, {"chain": [{"task": [], "args": []}]}],
        "a callback follows": [[["callback"]], {}, {"callbacks": [{"task": TASK}]}],
        "an errback follows": [[["errback"]], {}, {"errbacks": 7}],
        "a chord follows": [[["chord"]], {}, {"chord": 7}],
        "something else follows": [[["else"]], {}, {"delivery_info": "x"}],
        "two arguments": [[[], ["two arguments"]], {}, {}],
        "no argument": [[], {}, {}],
        "an argument that is no list": [[{"no": "list"}], {}, {}],
        "an order that is no object": [[[7]], {}, {}],
        "an order without anything": [[[{}]], {}, {}],
        "an order whose id is a list": [[[{"order_id": [1]}]], {}, {}],
        "a large one": [[[{"order_id": "x" * 300_000}]], {}, {}],
    }
    return {
        **{what: json.dumps(each).encode() for what, each in shapes.items()},
        "nothing at all": b"",
        "no JSON": b"{not json",
        "a hundred thousand brackets": b"[" * 100_000,
        "not a number": b"[[[NaN]], {}, {}]",
        "bytes that are no text": b'[[["\xff\xfe"]], {}, {}]',
        "half a surrogate pair": b'[[["\\ud800"]], {}, {}]',
        "a NUL": b'[[[{"order_id": "\\u0000"}]], {}, {}]',
    }


def _headers() -> dict[str, dict[str, Any]]:
    wrong_task = {"no headers": {}, "no task": {"id": "1"}}
    for name, task in {"number": 7, "list": ["x"], "null": None, "unknown": "inventory.unheard_of"}.items():
        wrong_task[f"task: {name}"] = {"task": task, "id": f"task {name}"}
    wrong_task["a task of Celery's own"] = {"task": "celery.backend_cleanup", "id": "celery"}
    ids = {"number": 7, "list": ["a"], "null": None, "empty": "", "huge": secrets.token_hex(20_000), "NUL": "a\0b"}
    wrong_id: dict[str, dict[str, Any]] = {f"id: {name}": {"task": TASK, "id": each} for name, each in ids.items()}
    wrong_id["no id"] = {"task": TASK}
    wrong_id["an id that another has: 1"] = wrong_id["an id that another has: 2"] = {
        "task": "inventory.no",
        "id": "same",
    }
    others: dict[str, dict[str, Any]] = {
        "eta: no time": {"eta": "soon"},
        "eta: in a thousand years": {"eta": "3026-01-01T00:00:00"},
        "expires: no time": {"expires": "soon"},
        "expired long ago": {"expires": "2001-01-01T00:00:00"},
        "timelimit: a number": {"timelimit": 7},
        "stamps: numbers": {"stamps": 7, "stamped_headers": 7},
        "numbers everywhere": dict.fromkeys(("lang", "argsrepr", "root_id", "parent_id", "group", "origin"), 7),
        "retries: a word": {"retries": "x"},
        "compressed, it says": {"compression": "application/x-gzip"},
        "compressed by nobody knows what": {"compression": "application/x-nothing"},
        "compression: a number": {"compression": 7},
    }
    return {
        **wrong_task,
        **wrong_id,
        **{what: {"task": TASK, "id": what.replace(":", ""), **each} for what, each in others.items()},
    }


def _encodings() -> list[Strange]:
    known = {"task": TASK, "id": "encoded"}
    orders = [[[{"order_id": "encoded"}]], {}, {}]
    return [
        Strange("pickle", pickle.dumps(orders), known, {"content_type": "application/x-python-serialize"}),
        Strange("msgpack", b"\x93\x91\x90\x80\x80", known, {"content_type": "application/x-msgpack"}),
        Strange("an unknown type", b"xx", known, {"content_type": "application/x-other"}),
        Strange("no type", _envelope("no type"), known, {"content_type": ""}),
        Strange("an unknown encoding", _envelope("klingon"), {**known, "id": "k"}, {"content_encoding": "klingon"}),
        Strange("compressed", gzip.compress(_envelope("gzip")), {**known, "compression": "application/x-gzip"}),
    ]


def strange_messages() -> list[Strange]:
    """All of them."""
    bodies = [Strange(what, body, {"task": TASK, "id": what}) for what, body in _bodies().items()]
    headers = [Strange(what, _envelope(what), each) for what, each in _headers().items()]
    return [*bodies, *headers, *_encodings()]
