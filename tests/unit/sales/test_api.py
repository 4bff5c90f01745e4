"""What is refused before a database is asked, and what the OpenAPI document says."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from flask.testing import FlaskClient

from chassis.settings import Settings
from sales import operator_schemas, schemas
from sales.app import create_app

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
LINE = {"product_id": ID, "quantity": 2}
ORDER = {"customer_id": ID, "items": [LINE]}
CUSTOMER = {"name": "Ada", "email": "ada@example.com", "address": "12 Rue de la Paix"}
JSON = {"Content-Type": "application/json"}
#: Every route that takes a body, and every route that takes none.
BODIES = [
    ("POST", "/orders"),
    ("POST", "/customers"),
    ("PUT", f"/orders/{ID}/status"),
    ("POST", f"/orders/{ID}/cancel"),
    ("POST", f"/orders/{ID}/resume"),
    ("POST", f"/orders/{ID}/compensate"),
    ("POST", f"/quarantine/{ID}/replay"),
    ("POST", f"/quarantine/{ID}/drop"),
]
READS = ["/orders", f"/orders/{ID}", f"/orders/{ID}/events", "/customers", f"/customers/{ID}"]
READS += ["/quarantine", f"/quarantine/{ID}"]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """A client of an app whose database does not exist."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nowhere"
    limits = {"max_body_bytes": 10_000, "max_order_lines": 3, "max_line_quantity": 100}
    return create_app(Settings(sales_database_url=nowhere, **limits)).test_client()  # type: ignore[arg-type]


def fields_of(answer: Any) -> list[str]:
    assert (answer.mimetype, answer.json["status"]) == ("application/problem+json", answer.status_code)
    assert answer.json["correlation_id"] == answer.headers["X-Request-ID"]
    return [each["field"] for each in answer.json["errors"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ORDER, "customer_id": "17"}, "customer_id"),
        ({**ORDER, "customer_id": None}, "customer_id"),
        ({"items": [LINE]}, "customer_id"),
        ({"customer_id": ID}, "items"),
        ({**ORDER, "items": []}, "items"),
        ({**ORDER, "items": {}}, "items"),
        ({**ORDER, "items": [LINE] * 4}, "items"),
        ({**ORDER, "items": [7]}, "items.0"),
        ({**ORDER, "items": [LINE, {"quantity": 1}]}, "items.1.product_id"),
        ({**ORDER, "items": [{"product_id": ID}]}, "items.0.quantity"),
        *[
            ({**ORDER, "items": [{**LINE, "quantity": each}]}, "items.0.quantity")
            for each in (0, -1, 101, 1.5, 2.0, "2", True, None, [1])
        ],
        *[
            ({**ORDER, "items": [{**LINE, "price": each}]}, "items.0.price")
            for each in ("-0.01", "1.001", "NaN", "Infinity", "1e400", "10000000000", "dear", True, [1], "1" * 33)
        ],
        ({**ORDER, "items": [{**LINE, "name": "Lamp"}]}, "items.0.name"),
        ({**ORDER, "delivery_address": ""}, "delivery_address"),
        ({**ORDER, "delivery_address": " \n "}, "delivery_address"),
        ({**ORDER, "delivery_address": "x" * 1001}, "delivery_address"),
        ({**ORDER, "delivery_address": "nul \x00"}, "delivery_address"),
        ({**ORDER, "delivery_address": "half \ud800"}, "delivery_address"),
        ({**ORDER, "delivery_address": 7}, "delivery_address"),
        ({**ORDER, "total_amount": "1.00"}, "total_amount"),
        ({**ORDER, "status": "Delivered"}, "status"),
        ([], "body"),
        ("order", "body"),
        (None, "body"),
    ],
)
def test_an_order_against_the_rules_is_refused_by_the_name_of_its_field(
    client: FlaskClient, body: Any, field: str
) -> None:
    answer = client.post("/orders", data=json.dumps(body), headers=JSON)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert fields_of(answer) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "  "),
        ("name", None),
        ("name", "x" * 201),
        ("email", "ada"),
        ("email", "ada@" + "x" * 320),
        ("address", ""),
        ("phone", "0" * 51),
        ("phone", ""),
        ("id", ID),
    ],
)
def test_a_customer_against_the_rules_is_refused_by_the_name_of_its_field(
    client: FlaskClient, field: str, value: Any
) -> None:
    answer = client.post("/customers", json={**CUSTOMER, field: value})

    assert (answer.status_code, set(fields_of(answer))) == (422, {field})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("status", {}, "status"),
        ("status", {"status": "Lost"}, "status"),
        ("status", {"status": "IN_TRANSIT"}, "status"),
        ("status", {"status": "Cancelled", "reason": "x"}, "reason"),
        ("cancel", {"reason": "x" * 201}, "reason"),
        ("cancel", {"reason": " "}, "reason"),
        ("cancel", {"why": "x"}, "why"),
    ],
)
def test_a_change_against_the_rules_is_refused_by_the_name_of_its_field(
    client: FlaskClient, path: str, body: Any, field: str
) -> None:
    answer = client.open(f"/orders/{ID}/{path}", method="PUT" if path == "status" else "POST", json=body)

    assert (answer.status_code, fields_of(answer)) == (422, [field])


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/orders", {"colour": "blue"}, "colour"),
        ("/orders", {"status": "pending"}, "status"),
        ("/orders", {"customer_id": "17"}, "customer_id"),
        ("/orders", {"needs_attention": "maybe"}, "needs_attention"),
        ("/orders", {"created_after": "yesterday"}, "created_after"),
        ("/orders", {"created_before": "2026-13-01"}, "created_before"),
        ("/orders", {"sort": "total_amount"}, "sort"),
        ("/orders", {"limit": "0"}, "limit"),
        ("/orders", {"limit": "101"}, "limit"),
        ("/orders", {"limit": "9" * 5000}, "limit"),
        ("/orders", {"cursor": "no"}, "cursor"),
        ("/orders", {"cursor": ""}, "cursor"),
        ("/orders", {"cursor": "WzEsIDJd"}, "cursor"),
        ("/customers", {"cursor": "WyJcdTAwMDAiXQ"}, "cursor"),
        ("/customers", {"email": ""}, "email"),
        ("/customers", {"email": "\x00"}, "email"),
        ("/customers", {"name": "Ada"}, "name"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_the_name_of_its_parameter(
    client: FlaskClient, path: str, query: dict[str, str], field: str
) -> None:
    answer = client.get(path, query_string=query)

    assert (answer.status_code, fields_of(answer)) == (422, [field])


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "body",
    [b"{", b"{'a': 1}", b'{"a": "\xff"}', b"[" * 400, b'{"a": ' + b"9" * 5_000 + b"}"],
    ids=["cut off", "single quotes", "not UTF-8", "nested without end", "a number without end"],
)
def test_a_body_that_cannot_be_read_is_400(client: FlaskClient, method: str, path: str, body: bytes) -> None:
    answer = client.open(path, method=method, data=body, headers=JSON)

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (400, "malformed_request", ["body"])


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "body",
    [b"[" * 9_000, b"{" + b",".join(b'"%d":1' % each for each in range(1_000)) + b"}", b'{"' + b"k" * 9_000 + b'": 1}'],
    ids=["lists without end", "a thousand unknown fields", "a long name"],
)
def test_an_answer_tells_of_twenty_mistakes_at_most_and_repeats_no_long_name(
    client: FlaskClient, method: str, path: str, body: bytes
) -> None:
    answer = client.open(path, method=method, data=body, headers=JSON)

    assert (answer.status_code, len(answer.json["errors"]) <= 20, len(answer.data) < 3_000) == (422, True, True)


def test_an_answer_says_how_many_mistakes_it_leaves_out(client: FlaskClient) -> None:
    body = {str(each): 1 for each in range(100)}

    answer = client.post("/customers", json=body).json

    assert (len(answer["errors"]), answer["more_errors"]) == (20, 103 - 20)


@pytest.mark.parametrize("query", ["&" * 100, "limit=" + "1" * 16_384], ids=["parameters", "bytes"])
def test_a_query_that_no_route_takes_is_414(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/orders?{query}")

    assert (answer.status_code, answer.json["code"]) == (414, "uri_too_long")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_a_body_over_the_limit_is_413(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method, data=b" " * 10_001, headers=JSON)

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (413, "too_large", [])
    assert "10000 bytes" in answer.json["detail"]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_json_is_415(client: FlaskClient, method: str, path: str, kind: str) -> None:
    answer = client.open(path, method=method, data=b"{}", headers={"Content-Type": kind})

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (415, "unsupported_media_type", [])


@pytest.mark.parametrize("path", ["/order", "/orders/17", f"/orders/{ID}/status/x", "/customers/ada"])
def test_a_path_that_is_none_is_404(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (404, "not_found", [])


def test_a_method_that_a_path_does_not_have_is_405_naming_those_it_has(client: FlaskClient) -> None:
    answer = client.delete("/orders")

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (405, "method_not_allowed", [])
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("key", ["", "x" * 256, "bell \x07", '"' + "x" * 256 + '"'])
def test_an_idempotency_key_against_the_rules_is_refused_by_its_name(client: FlaskClient, key: str) -> None:
    answer = client.post("/customers", json=CUSTOMER, headers={"Idempotency-Key": key})

    assert (answer.status_code, fields_of(answer)) == (422, ["Idempotency-Key"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"/quarantine/{ID}/replay", {}, "actor"),
        (f"/quarantine/{ID}/replay", {"actor": " "}, "actor"),
        (f"/quarantine/{ID}/replay", {"actor": "ada", "reason": "why"}, "reason"),
        (f"/quarantine/{ID}/drop", {"actor": "ada"}, "reason"),
        (f"/quarantine/{ID}/drop", {"actor": "ada", "reason": ""}, "reason"),
        (f"/orders/{ID}/resume", {"reason": "why"}, "actor"),
        (f"/orders/{ID}/compensate", {"actor": "ada"}, "reason"),
        (f"/orders/{ID}/compensate", {"actor": "nul \x00", "reason": "why"}, "actor"),
    ],
)
def test_an_operator_says_who_acts_and_why(client: FlaskClient, path: str, body: Any, field: str) -> None:
    answer = client.post(path, json=body)

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (422, "invalid", [field])


@pytest.mark.parametrize("query", ["state=lost", "order_id=7", "limit=0", "limit=101", "cursor=x", "page=2"])
def test_a_list_of_messages_that_is_none_is_refused_by_the_name_of_its_field(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/quarantine?{query}")

    assert (answer.status_code, fields_of(answer)) == (422, [query.partition("=")[0]])


class TestWithoutItsDatabase:
    @pytest.fixture(params=[*[("GET", path) for path in READS], *BODIES], ids=lambda route: " ".join(route))
    def answer(self, request: pytest.FixtureRequest, client: FlaskClient) -> Iterator[Any]:
        method, path = request.param
        body = {"/orders": ORDER, "/customers": CUSTOMER, f"/orders/{ID}/status": {"status": "In Transit"}}
        by = {"actor": "ada", "reason": "it was mended"}
        body |= {f"/orders/{ID}/resume": by, f"/orders/{ID}/compensate": by, f"/quarantine/{ID}/drop": by}
        body |= {f"/quarantine/{ID}/replay": {"actor": "ada"}}
        return client.open(path, method=method, json=body.get(path, {}) if method != "GET" else None)

    def test_every_route_answers_503_and_when_to_try_again_and_nothing_of_what_is_inside(self, answer: Any) -> None:
        assert (answer.status_code, answer.json["code"], fields_of(answer)) == (503, "unavailable", [])
        assert int(answer.headers["Retry-After"]) > 0
        assert not any(word in answer.text for word in ("Traceback", "psycopg2", "nobody", "<html"))

    def test_it_is_alive_and_not_ready_and_says_why(self, client: FlaskClient) -> None:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json["down"]) == (503, ["database"])


def test_a_mistake_of_ours_is_500_and_tells_nothing_of_what_is_inside(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sales.queries.list_orders", lambda *_arguments: 1 / 0)
    monkeypatch.setattr("sales.api.transaction", lambda _sessions: nullcontext())

    answer = client.get("/orders")

    assert (answer.status_code, answer.json["code"], fields_of(answer)) == (500, "internal_error", [])
    assert "division" not in answer.text


class TestOpenApi:
    @pytest.fixture
    def routes(self, client: FlaskClient) -> dict[tuple[str, str], dict[str, Any]]:
        paths = client.get("/openapi.json").json["paths"]
        verbs = ("get", "post", "put", "patch", "delete")
        return {(verb, path): each[verb] for path, each in paths.items() for verb in verbs if verb in each}

    def test_it_says_of_every_route_how_it_may_be_refused(self, routes: Any) -> None:
        ours = {name: sorted(set(each["responses"]) & {"404", "409", "412", "422"}) for name, each in routes.items()}
        assert ours == {
            ("post", "/orders"): ["422"],
            ("get", "/orders"): ["422"],
            ("get", "/orders/{order_id}"): ["404"],
            ("get", "/orders/{order_id}/events"): ["404", "422"],
            ("put", "/orders/{order_id}/status"): ["404", "409", "412", "422"],
            ("post", "/orders/{order_id}/cancel"): ["404", "409", "412", "422"],
            ("post", "/customers"): ["409", "422"],
            ("get", "/customers"): ["422"],
            ("get", "/customers/{customer_id}"): ["404"],
            ("get", "/quarantine"): ["422"],
            ("get", "/quarantine/{message_id}"): ["404"],
            ("post", "/quarantine/{message_id}/replay"): ["404", "409", "422"],
            ("post", "/quarantine/{message_id}/drop"): ["404", "409", "422"],
            ("post", "/orders/{order_id}/resume"): ["404", "409", "412", "422"],
            ("post", "/orders/{order_id}/compensate"): ["404", "409", "412", "422"],
        }

    def test_it_shows_an_example_of_every_success(self, routes: Any) -> None:
        for name, route in routes.items():
            for status in set(route["responses"]) & {"200", "201", "202"}:
                assert "example" in route["responses"][status]["content"]["application/json"], (name, status)

    def test_it_shows_what_is_allowed_instead_of_an_illegal_transition(self, routes: Any) -> None:
        conflict = routes["put", "/orders/{order_id}/status"]["responses"]["409"]["content"]["application/problem+json"]
        example = conflict["examples"]["illegal_transition"]["value"]
        assert {"from", "to", "allowed", "code", "correlation_id"} <= set(example)

    def test_it_names_the_headers_that_a_client_may_send_and_gets(self, routes: Any) -> None:
        sent = {name: {each["name"] for each in route.get("parameters", [])} for name, route in routes.items()}
        got = {name: set(route["responses"].get("201", {}).get("headers", {})) for name, route in routes.items()}
        for path in ("/orders", "/customers"):
            assert "Idempotency-Key" in sent["post", path]
            assert {"Location", "Idempotent-Replayed"} <= got["post", path]
        for route in (("put", "/orders/{order_id}/status"), ("post", "/orders/{order_id}/cancel")):
            assert "If-Match" in sent[route]

    @pytest.mark.parametrize(
        ("schema", "examples"),
        [
            (schemas.OrderOut, [schemas.ORDER, schemas.PLACED, schemas.CANCELLING, schemas.CANCELLED]),
            (schemas.ItemOut, [schemas.ITEM]),
            (schemas.CustomerOut, [schemas.CUSTOMER]),
            (schemas.EventOut, [schemas.EVENT]),
            (operator_schemas.MessageSummary, [operator_schemas.SUMMARY]),
            (operator_schemas.MessageOut, [operator_schemas.MESSAGE]),
            (operator_schemas.ActionOut, [operator_schemas.ACTION]),
        ],
    )
    def test_an_example_has_the_fields_of_its_schema(self, schema: Any, examples: list[dict[str, Any]]) -> None:
        for example in examples:
            assert set(example) == set(schema().fields)
