"""What is refused before a database is asked, and what the OpenAPI document says."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from chassis.settings import Settings
from delivery.app import create_app

ORDER = "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"


@pytest.fixture
def client() -> FlaskClient:
    """A client of an app whose database does not exist."""
    return create_app(Settings(delivery_database_url="postgresql://nobody@127.0.0.1:1/nowhere")).test_client()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"status": None}, "status"),
        ({"status": "LOST"}, "status"),
        ({"status": "in_transit"}, "status"),
        ({"status": "IN_TRANSIT", "courier": "Ada"}, "courier"),
        ({"status": "IN_TRANSIT", "location": 7}, "location"),
        ({"status": "IN_TRANSIT", "location": "x" * 201}, "location"),
        ({"status": "IN_TRANSIT", "notes": "nul \x00"}, "notes"),
        *(
            ({"status": "IN_TRANSIT", "occurred_at": each}, "occurred_at")
            for each in (
                "yesterday",
                "",
                1772474400,
                True,
                "2026-13-01T00:00:00Z",
                "0001-01-01T00:00:00Z",
                "1999-12-31T23:59:59Z",
                "10000-01-01T00:00:00Z",
                "2026-03-02T25:00:00Z",
            )
        ),
        *(({"status": "IN_TRANSIT", "event_id": each}, "event_id") for each in ("", " 17", "x" * 201, 17, "a\x00")),
    ],
)
def test_a_report_against_the_rules_is_refused_by_the_name_of_its_field(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    answer = client.patch("/deliveries/1/status", json=body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert [each["field"] for each in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ("status=LOST", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_before=", "created_before"),
        ("sort=status", "sort"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=elsewhere", "cursor"),
        ("courier=ada", "courier"),
    ],
)
def test_a_filter_against_the_rules_is_refused_by_its_name(client: FlaskClient, filters: str, field: str) -> None:
    answer = client.get(f"/deliveries?{filters}")

    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert [each["field"] for each in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"order_id": ORDER}, "address"),
        ({"order_id": ORDER, "address": "   "}, "address"),
        ({"order_id": "17", "address": "12 rue de la Paix"}, "order_id"),
        ({"order_id": ORDER, "address": "12 rue de la Paix", "status": "DELIVERED"}, "status"),
    ],
)
def test_a_dispatch_against_the_rules_is_refused_by_the_name_of_its_field(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/deliveries", json=body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert [each["field"] for each in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    "path",
    [
        "/deliveries/one",
        "/deliveries/9223372036854775808",
        "/deliveries/%D9%A1",  # a digit, but not one of these ten
        "/deliveries/-1",
        f"/deliveries/{ORDER}0",
        "/deliveries/order/17",
    ],
)
def test_an_id_that_cannot_exist_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_a_database_that_is_away_is_503_and_not_an_error_of_ours(client: FlaskClient) -> None:
    answer = client.get("/deliveries/1")

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


def test_every_route_shows_an_example_and_its_refusals(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").json["paths"]
    routes = {
        (verb, path): route for path, verbs in paths.items() for verb, route in verbs.items() if verb != "parameters"
    }

    refusals = {name: sorted(set(route["responses"]) & {"404", "409", "412", "422"}) for name, route in routes.items()}
    assert refusals == {
        ("post", "/deliveries"): ["409", "422"],
        ("get", "/deliveries"): ["422"],
        ("get", "/deliveries/{delivery_id}"): ["404"],
        ("get", "/deliveries/{delivery_id}/events"): ["404", "422"],
        ("get", "/deliveries/order/{order_id}"): ["404"],
        ("patch", "/deliveries/{delivery_id}/status"): ["404", "409", "412", "422"],
    }
    for route in routes.values():
        success = route["responses"].get("200") or route["responses"]["201"]
        assert "example" in success["content"]["application/json"]
