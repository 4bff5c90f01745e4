"""What every app answers, whatever it is for."""

from typing import Any, NoReturn

import pytest
from flask import Response, jsonify
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from chassis.blueprints import Blueprint
from chassis.conditions import check_version, conditional, etag
from chassis.errors import Conflict, NotFound
from chassis.refusing import correlation_id
from chassis.settings import Settings
from chassis.web import create_base_app, request_digest, request_key


class Lamp(Schema):
    """A schema whose fields are not in the order of the alphabet."""

    sku = fields.String()
    price = fields.String()
    name = fields.String()


@pytest.fixture
def client() -> FlaskClient:
    """An app whose one dependency is down."""
    routes = Blueprint("things", __name__)

    @routes.route("/version", methods=["GET"])
    def version() -> dict[str, str]:
        return {"correlation_id": correlation_id()}

    @routes.route("/thing", methods=["GET"])
    def thing() -> tuple[dict[str, str], int, dict[str, str]]:
        return {}, 200, {"ETag": etag(3)}

    @routes.route("/thing", methods=["PATCH"])
    @conditional
    def change_thing() -> dict[str, str]:
        check_version(3)
        return {}

    @routes.route("/digest", methods=["POST"])
    def digest() -> dict[str, Any]:
        key = request_key()
        return {"digest": request_digest(), "key": key and key.key, "counts": key and key.digest}

    @routes.route("/refused", methods=["GET"])
    def refused() -> None:
        raise Conflict("Not now.", errors=[{"field": "x", "message": "y"}], headers={"Retry-After": "7"}, by="whom")

    @routes.route("/lamp", methods=["GET"])
    @routes.response(200, Lamp)
    def lamp() -> dict[str, str]:
        return {"name": "Lampe à pétrole", "price": "5.00", "sku": "lamp"}

    @routes.route("/half", methods=["GET"])
    def half() -> Response:
        return jsonify({"half": "of a pair: \ud800"})

    def down() -> None:
        raise OSError("a secret of the inside")

    return create_base_app("things", Settings(), [routes], {"shelf": down, "clock": lambda: None}).test_client()


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        (None, 200),
        ('"3"', 200),
        (' "3" ', 200),
        ("*", 200),
        ('"2", "3"', 200),
        ('"2"', 412),
        ("3", 412),
        ('W/"3"', 412),
        ("", 412),
    ],
)
def test_a_request_for_another_version_is_refused(client: FlaskClient, if_match: str | None, status: int) -> None:
    for method in ("PATCH", "GET"):
        answer = client.open("/thing", method=method, headers={} if if_match is None else {"If-Match": if_match})
        assert answer.status_code == status, method


@pytest.mark.parametrize("value", ["", '"3"', "*", "Wed, 21 Oct 2026 07:28:00 GMT"])
@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        *[
            ("PATCH", "/thing", each)
            for each in ("If-None-Match", "If-Unmodified-Since", "If-Modified-Since", "If-Range")
        ],
        *[("POST", "/digest", each) for each in ("If-Match", "If-None-Match", "If-Unmodified-Since")],
    ],
)
def test_a_change_with_a_precondition_that_nobody_judges_is_refused(
    client: FlaskClient, method: str, path: str, header: str, value: str
) -> None:
    answer = client.open(path, method=method, headers={header: value})
    assert (answer.status_code, answer.json["code"]) == (412, "precondition_not_supported")
    assert header in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "header", "value", "status"),
    [
        *[("/thing", "If-None-Match", each, 304) for each in ('"3"', 'W/"3"', '"2", "3"', "*")],
        *[("/thing", "If-None-Match", each, 200) for each in ('"2"', "", "3")],
        *[("/version", "If-None-Match", each, 200) for each in ('"3"', "")],
        ("/version", "If-None-Match", "*", 304),
        ("/version", "If-Match", '"3"', 412),
        ("/version", "If-Match", "*", 200),
        ("/thing", "If-Unmodified-Since", "Wed, 21 Oct 2020 07:28:00 GMT", 200),
        ("/thing", "If-Modified-Since", "Wed, 21 Oct 2036 07:28:00 GMT", 200),
    ],
)
def test_a_read_honours_what_its_client_has_already(
    client: FlaskClient, path: str, header: str, value: str, status: int
) -> None:
    answer = client.get(path, headers={header: value})
    assert answer.status_code == status
    assert status != 304 or (answer.data, answer.headers.get("ETag")) == (b"", '"3"' if path == "/thing" else None)


@pytest.mark.parametrize("given", ["trace-7", "a" * 128, "0af7:3.x_y"])
def test_a_correlation_id_of_the_clients_is_kept(client: FlaskClient, given: str) -> None:
    answer = client.get("/version", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == answer.json["correlation_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", "<script>", "ü"])
def test_one_that_would_do_harm_in_a_log_is_replaced(client: FlaskClient, given: str) -> None:
    answer = client.get("/version", headers={"X-Request-ID": given})
    assert answer.json["correlation_id"] == answer.headers["X-Request-ID"] != given
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_refusal_is_one_problem_document_with_all_that_the_error_carries(client: FlaskClient) -> None:
    answer = client.get("/refused", headers={"X-Request-ID": "trace-7"})
    assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
    assert answer.headers["Retry-After"] == "7"
    assert answer.json == {
        "type": "urn:conveyor:problem:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "Not now.",
        "instance": "/refused",
        "code": "conflict",
        "errors": [{"field": "x", "message": "y"}],
        "correlation_id": "trace-7",
        "by": "whom",
    }


def test_two_requests_are_the_same_when_method_path_and_every_byte_of_the_body_are(client: FlaskClient) -> None:
    def sent(body: bytes, path: str = "/digest") -> str:
        return str(client.post(path, data=body, headers={"Content-Type": "application/json"}).json["digest"])

    assert sent(b"{}") == sent(b"{}")
    assert sent(b"{}") != sent(b"{ }")
    assert len(sent(b"{}")) == 64


@pytest.mark.parametrize(
    ("headers", "key", "counts"),
    [
        ({}, None, None),
        ({"Idempotency-Key": "k-1"}, "k-1", "own"),
        ({"Idempotency-Key": '"k-1"'}, "k-1", "own"),
        ({"Idempotency-Key": '"'}, '"', "own"),
        ({"Idempotency-Key": "k-1", "X-Request-Digest": "d"}, "k-1", "d"),
    ],
)
def test_a_request_is_known_by_its_key_and_the_gateways_digest_where_there_is_one(
    client: FlaskClient, headers: dict[str, str], key: str | None, counts: str | None
) -> None:
    answer = client.post("/digest", headers=headers).json
    assert (answer["key"], answer["counts"]) == (key, answer["digest"] if counts == "own" else counts)


def test_an_app_that_misses_something_is_alive_and_not_ready_and_keeps_its_secrets(client: FlaskClient) -> None:
    assert client.get("/health/live").json == {"status": "ok"}
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["code"], ready.json["down"]) == (503, "unavailable", ["shelf"])
    assert "secret" not in ready.text


def test_an_answer_has_its_fields_in_the_order_of_the_schema_and_says_how_long_it_is(client: FlaskClient) -> None:
    answer = client.get("/lamp")
    assert answer.text == '{"sku":"lamp","price":"5.00","name":"Lampe à pétrole"}'
    assert (answer.content_type, answer.content_length) == ("application/json", len(answer.data))
    assert client.head("/lamp").content_length == len(answer.data)


def test_what_utf_8_cannot_spell_is_answered_too(client: FlaskClient) -> None:
    answer = client.get("/half")
    assert (answer.status_code, answer.json) == (200, {"half": "of a pair: \ud800"})


@pytest.mark.parametrize(
    "name", ["type", "title", "status", "code", "instance", "correlation_id", "request", "self", "extra"]
)
def test_no_extra_member_of_a_refusal_breaks_its_answer(name: str) -> None:
    app = create_base_app("test", Settings(), [], {})

    @app.get("/refused")
    def refused() -> NoReturn:
        error = NotFound("There is nothing here.", seats=3)
        error.extra[name] = "another"
        raise error

    answer = app.test_client().get("/refused")
    assert answer.status_code == 404
    standard = {"title": "Not found", "status": 404, "code": "not_found", "instance": "/refused"}
    assert answer.json.items() >= {**standard, "type": "urn:conveyor:problem:not_found", "seats": 3}.items()
