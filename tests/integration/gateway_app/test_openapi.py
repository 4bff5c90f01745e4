"""The public document while services come and go."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from chassis.settings import Settings
from gateway_app.app import create_app

LISTED = {"/orders": {"get": {"responses": {"default": {"description": "-"}}}}}


def publish(service: Any, paths: dict[str, Any]) -> None:
    body = json.dumps({"paths": paths, "components": {"schemas": {"Problem": {"type": "object"}}}}).encode()
    service.answers["/openapi.json"] = (200, {}, body)


@pytest.fixture
def client(settings: Settings, sales: Any, inventory: Any) -> FlaskClient:
    publish(sales, LISTED)
    publish(inventory, {})
    all_up = Settings(
        redis_url=settings.redis_url, sales_url=sales.url, inventory_url=inventory.url, delivery_url=inventory.url
    )
    return create_app(all_up).test_client()


def test_the_services_are_asked_once_in_a_while_only(client: FlaskClient, sales: Any) -> None:
    assert "get" in client.get("/openapi.json").json["paths"]["/orders"]
    client.get("/openapi.json")
    assert len(sales.seen) == 1


def test_without_a_service_that_was_never_seen_there_is_no_document(client: FlaskClient, sales: Any) -> None:
    sales.stop()
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_down")


def test_while_a_service_is_down_the_document_is_what_it_was(
    client: FlaskClient, sales: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_app.openapi.FRESH_FOR", 0.0)
    before = client.get("/openapi.json").json
    sales.stop()
    assert client.get("/openapi.json").json == before


def test_a_service_that_has_changed_is_seen_after_a_while(
    client: FlaskClient, sales: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_app.openapi.FRESH_FOR", 0.0)
    client.get("/openapi.json")
    publish(sales, {})
    assert "/orders" not in client.get("/openapi.json").json["paths"]
