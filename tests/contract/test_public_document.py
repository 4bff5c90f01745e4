"""The services' OpenAPI documents, and the public one that the gateway makes of them."""

from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from chassis.documents import METHODS, template
from chassis.settings import Settings
from gateway_app import app as gateway
from gateway_app.openapi import merged
from gateway_app.routes import ROUTES

SERVICES = ("sales", "inventory", "delivery")
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:9/none"
SETTINGS = Settings(
    sales_database_url=NOWHERE, inventory_database_url=NOWHERE, delivery_database_url=NOWHERE, redis_url="redis://127.0.0.1:9"
)  # fmt: skip


def app_of(service: str) -> Flask:
    made: Flask = import_module(f"{service}.app").create_app(SETTINGS)
    return made


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {name: app_of(name).test_client().get("/openapi.json").json for name in SERVICES}


@pytest.fixture(scope="module")
def public(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return merged(documents)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def headers(operation: dict[str, Any]) -> set[str]:
    return {each["name"] for each in operation["parameters"] if each["in"] == "header"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_of_a_service_is_in_its_document(service: str, documents: dict[str, Any]) -> None:
    routes = {
        f"{method} {template(rule.rule)}"
        for rule in app_of(service).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule != "/" and not rule.rule.startswith(("/health", "/docs", "/openapi.json", "/static", "/metrics"))
    }
    assert set(operations(documents[service])) == routes


@pytest.mark.parametrize("service", SERVICES)
def test_if_match_is_documented_for_the_changes_that_judge_it_and_for_no_others(
    service: str, documents: dict[str, Any]
) -> None:
    app = app_of(service)
    judged = {
        f"{method} {template(rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if getattr(app.view_functions[rule.endpoint], "conditional", False)
    }
    assert judged == {each for each, found in operations(documents[service]).items() if "If-Match" in headers(found)}
    assert judged


def test_every_document_says_which_release_it_is_of(documents: dict[str, Any], public: dict[str, Any]) -> None:
    config = ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert {each["info"]["version"] for each in (public, *documents.values())} == {config["metadata"]["version"]}


def test_every_public_route_is_documented_and_nothing_else_but_health(public: dict[str, Any]) -> None:
    routes = {f"{each.method} {template(each.path)}" for each in ROUTES}
    assert set(operations(public)) == routes | {"GET /health", "GET /health/live", "GET /health/ready"}


def test_two_services_never_call_different_things_the_same(documents: dict[str, Any]) -> None:
    seen: dict[tuple[str, str], Any] = {}
    for document in documents.values():
        for kind, rows in document["components"].items():
            for name, each in rows.items():
                assert seen.setdefault((kind, name), each) == each, name


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_schema_is_valid_json_schema(name: str, documents: dict[str, Any], public: dict[str, Any]) -> None:
    for schema in {**documents, "public": public}[name]["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_operation_says_how_it_refuses(name: str, documents: dict[str, Any], public: dict[str, Any]) -> None:
    document = {**documents, "public": public}[name]
    for each, operation in operations(document).items():
        if "/health" in each:
            continue
        answers = operation["responses"]
        default = document["components"]["responses"][answers["default"]["$ref"].rpartition("/")[2]]
        for status, answer in [*answers.items(), ("default", default)]:
            if not status.startswith("2") and "$ref" not in answer:
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (each, status)


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_operation_says_what_the_front_may_answer(
    name: str, documents: dict[str, Any], public: dict[str, Any]
) -> None:
    for each, operation in operations({**documents, "public": public}[name]).items():
        for status, code in ((408, "request_timeout"), (431, "headers_too_large"), (503, "overloaded")):
            content = operation["responses"][str(status)]["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, each
            assert content["examples"][code]["value"]["status"] == status, each


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_operation_has_an_id_of_its_own(name: str, documents: dict[str, Any], public: dict[str, Any]) -> None:
    document = {**documents, "public": public}[name]
    ids = [each["operationId"] for key, each in operations(document).items() if "/health" not in key]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_reference_leads_somewhere(name: str, documents: dict[str, Any], public: dict[str, Any]) -> None:
    document = {**documents, "public": public}[name]

    def references(part: Any) -> Any:
        if isinstance(part, dict):
            yield from [part["$ref"]] if "$ref" in part else []
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                yield from references(each)

    for reference in references(document):
        _, _, kind, component = reference.split("/")
        assert component in document["components"][kind]


def test_amounts_are_documented_as_the_strings_that_they_are(public: dict[str, Any]) -> None:
    schemas = public["components"]["schemas"]
    [price] = [each["properties"]["price"] for name, each in schemas.items() if name == "Product"]
    assert (price["type"], price["format"]) == ("string", "decimal")
    assert "maximum" not in price


def test_a_status_change_is_documented_under_its_public_verb(public: dict[str, Any]) -> None:
    assert set(public["paths"]["/orders/{order_id}/status"]) == {"patch"}


def test_headers_are_documented_where_they_are_honoured_and_nowhere_else(public: dict[str, Any]) -> None:
    documented = operations(public)
    for each in ROUTES:
        operation = documented[f"{each.method} {template(each.path)}"]
        assert ("Idempotency-Key" in headers(operation)) == each.creates, each
        assert ("Prefer" in headers(operation)) == each.waits, each
        assert ("If-Match" in headers(operation)) or each.method != "PATCH", each
        assert "Retry-After" in operation["responses"]["503"]["headers"], each
        if each.creates:
            assert {"Idempotent-Replayed", "Location"} <= set(operation["responses"]["201"]["headers"]), each
        if each.waits:
            assert "Preference-Applied" in operation["responses"]["201" if each.creates else "202"]["headers"], each


def test_an_answer_with_a_version_has_an_etag(public: dict[str, Any]) -> None:
    documented = operations(public)
    for each in ("GET /orders/{order_id}", "GET /products/{product_id}", "GET /deliveries/{delivery_id}"):
        assert "ETag" in documented[each]["responses"]["200"]["headers"]


def test_what_is_internal_to_a_service_is_not_public(public: dict[str, Any]) -> None:
    assert set(public["paths"]["/deliveries"]) == {"get"}
    assert "NewDelivery" not in public["components"]["schemas"]


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_the_docs_page_needs_nothing_from_outside(name: str) -> None:
    client = (gateway.create_app(SETTINGS) if name == "gateway" else app_of(name)).test_client()
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"):
        assert f'"/docs/{asset}"' in page.text
        with client.get(f"/docs/{asset}") as answer:
            assert answer.status_code == 200
    assert "<script>" not in page.text
    assert "default-src 'self';" in page.headers["Content-Security-Policy"]
    with client.get("/docs/page.js") as script:
        assert "validatorUrl: null" in script.text
    with client.get("/docs/examples.js") as examples:
        assert examples.status_code == (200 if name == "gateway" else 404)
    assert client.get("/docs/..%2fpage.html").status_code == 404


def test_what_may_be_left_out_of_a_request_is_not_prefilled(documents: dict[str, Any], public: dict[str, Any]) -> None:
    """A page that tries requests out sends every example: one key for all, filters that find nothing."""
    for document in (*documents.values(), public):
        for name, operation in operations(document).items():
            optional = [each for each in operation.get("parameters", []) if not each.get("required")]
            assert [each["name"] for each in optional if "example" in {**each, **each["schema"]}] == [], name


def test_every_chapter_has_operations(public: dict[str, Any]) -> None:
    used = {tag for each in operations(public).values() for tag in each["tags"]}
    assert [each["name"] for each in public["tags"]] == ["orders", "customers", "products", "deliveries", "health"]
    assert used == {each["name"] for each in public["tags"]}


def test_what_operators_do_is_not_public_while_there_is_no_login(
    documents: dict[str, Any], public: dict[str, Any]
) -> None:
    tagged = [name for name, each in operations(documents["sales"]).items() if each["tags"] == ["operators"]]
    assert len(tagged) == 6
    internal = {name.partition(" ")[2] for name in tagged}
    assert not internal & set(public["paths"])
