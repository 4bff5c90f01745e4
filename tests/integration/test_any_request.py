"""Whatever a request says, it is answered or refused: never with a mistake of ours, whatever its parameters are.

Every route of the gateway's table and of each service is tried with made-up ids, queries, headers and bodies, one or
more of them odd at a time, on the real apps with real databases. What is odd is chosen by Hypothesis, beside values at
which Python, PostgreSQL and HTTP differ.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7
from werkzeug.serving import make_server

from chassis.documents import METHODS, template
from chassis.migrations import migrate
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.valkey import Valkey
from gateway_app.app import create_app
from gateway_app.routes import ROUTES

SERVICES = ("sales", "inventory", "delivery")
EXAMPLES = 150

ODD_TEXTS = [
    *("", " ", "0", "-0", "+1", "01", "1_0", " 1", "1e2", "1E-999999", "1E999999", "NaN", "Infinity", "9" * 19),
    *(
        "9" * 5_000,
        "\u0661",
        "\uff11",
        "\u00b2",
        "\x00",
        "\n",
        "\r\n",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ud800",
        "%",
        "%00",
    ),
    *("\U0001f600", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-02T09:15:00+16:30", "x" * 1_001),
    *("2026-02-30", "0000-01-01", "2026-03-02T09:15:00+23:59", "2026-03-02", "true", "True", "null", "-created_at"),
    *(
        "price",
        "Pending",
        '"1"',
        'W/"1"',
        "*",
        '"',
        "wait=5_0",
        "wait=\u0661",
        "wait=-1",
        "wait=1e9",
        "bytes=0-",
        "'--",
    ),
]
#: Of a header: what a server hands on, which is latin-1 without line ends.
HEADER_TEXTS = [each for each in ODD_TEXTS if all(" " <= char <= "\xff" for char in each)] + ["\xc3\xa9", "\xff"]
HEADERS = [
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range", "Prefer", "Accept"),
    *("Idempotency-Key", "X-Request-ID", "X-Request-Digest", "Content-Type", "Content-Encoding", "Expect", "Cookie"),
]
BYTES = [
    b"",
    b" ",
    b"{",
    b"null",
    b"1",
    b'"x"',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"[" * 2_000,
    b'{"a":' * 600,
    b"1e999",
    b"NaN",
]

texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.integers(2**31 - 2, 2**65)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
positions = st.lists(scalars | st.sampled_from(["price", "-created_at", str(uuid7())]), max_size=4)


@dataclass(frozen=True)
class Asked:
    """A kind of request: a route, the names of its query's parameters, and a body that it takes."""

    method: str
    path: str
    query: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None


@dataclass
class Door:
    """An app, what can be asked of it, and the ids that it knows."""

    client: FlaskClient
    kinds: list[Asked]
    ids: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def doors(postgres: Postgres, valkey: Valkey) -> Iterator[dict[str, Door]]:
    """The three services on databases of their own, and the gateway before them, with a customer, a product, ..."""
    urls = {f"{each}_database_url": postgres.create_database(f"any_{uuid7().hex}", each) for each in SERVICES}
    ports = {each: free_port() for each in SERVICES}
    made = Settings(
        **urls,
        **{f"{each}_url": f"http://127.0.0.1:{port}" for each, port in ports.items()},
        **{f"{each}_relay": "127.0.0.1:9" for each in SERVICES},
        redis_url=valkey.url(),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, url in urls.items():
            patch.setenv(f"CONVEYOR_{name.upper()}", url)
        settings_of_process.cache_clear()
        for each in SERVICES:
            migrate(each)
        apps = {each: import_module(f"{each}.app").create_app(made) for each in SERVICES}
        servers = [make_server("127.0.0.1", ports[each], app, threaded=True) for each, app in apps.items()]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        gateway = create_app(made)
        yield _doors(apps, gateway)
        for server in servers:
            server.shutdown()
            server.server_close()
        for app in apps.values():
            app.extensions["database"].kw["bind"].dispose()
    settings_of_process.cache_clear()


def _doors(apps: dict[str, Flask], gateway: Flask) -> dict[str, Door]:
    kinds = {name: list(_kinds(app.test_client().get("/openapi.json").json)) for name, app in apps.items()}
    clients = {name: app.test_client() for name, app in apps.items()}
    ids = _stock(clients)
    public = [
        replace(each, method=route.method)
        for route in ROUTES
        for each in kinds[route.service]
        if (each.method, each.path) == (route.inner_method or route.method, template(route.path))
    ]
    assert len(public) == len(ROUTES)
    found = {name: Door(clients[name], kinds[name], ids) for name in apps}
    return {**found, "gateway": Door(gateway.test_client(), public, ids)}


def _kinds(document: dict[str, Any]) -> Iterator[Asked]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = item[method].get("parameters", [])
                query = tuple(each["name"] for each in parameters if each["in"] == "query")
                content = item[method].get("requestBody", {}).get("content", {}).get("application/json", {})
                body = _example(content["schema"], document) if content else None
                yield Asked(method.upper(), path, query, body)


def _example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "properties" in schema:
        return {name: _example(each, document) for name, each in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_example(schema["items"], document)]
    return schema.get("example", schema.get("enum", [None])[0])


def _stock(clients: dict[str, FlaskClient]) -> dict[str, list[str]]:
    """Something of each kind, so that requests come as far as what is odd in them."""
    customer = clients["sales"].post("/customers", json={"name": "A", "email": "a@example.com", "address": "x"}).json
    product = clients["inventory"].post("/products", json={"sku": "A", "name": "A", "price": "1"}).json
    line = {"product_id": product["id"], "quantity": 1}
    order = clients["sales"].post("/orders", json={"customer_id": customer["id"], "items": [line]}).json
    delivery = clients["delivery"].post("/deliveries", json={"order_id": order["id"], "address": "x"}).json
    named = {"customer_id": customer, "product_id": product, "order_id": order, "delivery_id": delivery}
    return {name: [each["id"], str(uuid7())] for name, each in named.items()}


@st.composite
def requests(draw: st.DrawFn, door: Door) -> dict[str, Any]:
    """A request of one of the door's kinds, with something odd in its path, query, headers and body."""
    asked = draw(st.sampled_from(door.kinds))
    path = asked.path
    for name in ("customer_id", "product_id", "order_id", "delivery_id", "message_id"):
        known = st.sampled_from(door.ids.get(name, ["1"]))
        value = draw(known | known | known | texts)
        path = path.replace(f"{{{name}}}", quote(value.encode("utf-8", "surrogatepass"), safe=""))
    query = draw(st.dictionaries(st.sampled_from([*asked.query, "other"]), texts, max_size=2)) if asked.query else {}
    if "cursor" in asked.query and draw(st.booleans()):
        position = json.dumps(draw(positions)).encode()
        query["cursor"] = base64.urlsafe_b64encode(position).decode().rstrip("=")
    encoded = urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in query.items()})
    odd = st.sampled_from(HEADER_TEXTS) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), odd, max_size=2))
    body = draw(_bodies(asked.body, door)) if asked.method != "GET" else None
    return {
        "method": asked.method,
        "path": f"{path}?{encoded}" if encoded else path,
        "headers": {"Content-Type": "application/json", **headers} if body is not None else headers,
        "data": body,
    }


@st.composite
def _bodies(draw: st.DrawFn, example: Mapping[str, Any] | None, door: Door) -> bytes:
    if example is None or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(BYTES) | st.binary(max_size=20))
    body = _known(example, door)
    inner = body
    if isinstance(body.get("items"), list) and draw(st.booleans()):
        inner = body["items"][0]
    for name in draw(st.lists(st.sampled_from([*inner, "other"]), max_size=2)):
        inner[name] = draw(values)
    return json.dumps(body).encode()


def one_odd_thing_at_a_time(door: Door) -> Iterator[dict[str, Any]]:
    """Every value of ODD_TEXTS in each parameter of each route, while all else is as it should be."""
    for asked in door.kinds:
        path = asked.path
        for name, (known, _) in door.ids.items():
            path = path.replace(f"{{{name}}}", known)
        body = None if asked.body is None else _known(asked.body, door)
        plain = {"method": asked.method, "path": path, "headers": {}, "data": None}
        if body is not None:
            plain = {**plain, "headers": {"Content-Type": "application/json"}, "data": json.dumps(body).encode()}
        for odd in ODD_TEXTS:
            for name in door.ids:
                if f"{{{name}}}" in asked.path:
                    yield {**plain, "path": asked.path.replace(f"{{{name}}}", quoted(odd))}
            for name in asked.query:
                yield {**plain, "path": f"{path}?{name}={quoted(odd)}"}
            if "cursor" in asked.query:
                yield from ({**plain, "path": f"{path}?{each}"} for each in odd_cursors(odd))
            if odd in HEADER_TEXTS and body is not None:
                for name in ("If-Match", "Idempotency-Key"):
                    yield {**plain, "headers": {**plain["headers"], name: odd}}
            for name in body or {}:
                yield {**plain, "data": json.dumps({**body, name: odd}).encode()}
            for name in (body or {}).get("items", [{}])[0]:
                line = {**body["items"][0], name: odd}
                yield {**plain, "data": json.dumps({**body, "items": [line]}).encode()}


def odd_cursors(odd: str) -> Iterator[str]:
    """Queries whose cursor is of the right form, with one odd value in it."""
    some_id, moment = str(uuid7()), "2026-03-02T09:15:00+00:00"
    for position in ([odd], [odd, some_id], [moment, odd]):
        yield urlencode({"cursor": cursor(position)})
    for sort in ("price", "created_at", "-name"):
        yield urlencode({"sort": sort, "cursor": cursor([sort, odd, some_id])})


def cursor(position: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _known(example: Mapping[str, Any], door: Door) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(example))
    for each in (body, *(body.get("items") or [])):
        each.update({name: door.ids[name][0] for name in each if name in door.ids})
    return body


def check(answer: Any, request: dict[str, Any]) -> None:
    assert answer.status_code < 500, (request, answer.text)
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json", request
        assert len(answer.data) < 20_000, request
        assert answer.json["code"], request


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_no_parameter_of_any_route_takes_an_odd_value_for_our_mistake(name: str, doors: dict[str, Door]) -> None:
    asked = list(one_odd_thing_at_a_time(doors[name]))
    for request in asked[:: 1 if name != "gateway" else 7]:  # what reaches the services has been tried there
        check(doors[name].client.open(**request), request)
    assert len(asked) > 500


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_whatever_a_request_says_it_is_answered_or_refused(name: str, doors: dict[str, Door]) -> None:
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(request=requests(doors[name]))
    def any_request(request: dict[str, Any]) -> None:
        headers = {each: value for each, value in request["headers"].items() if each != "Prefer"}
        if name != "gateway" or not request["headers"].get("Prefer", "").startswith("wait"):
            headers = request["headers"]  # else it would be waited for, by an order that nobody works on
        answer = doors[name].client.open(
            request["path"], method=request["method"], headers=headers, data=request["data"]
        )
        statuses.add(answer.status_code)
        check(answer, request)

    any_request()
    assert {200, 404, 422} <= statuses
