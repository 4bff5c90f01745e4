"""Every refusal has a code of its own and a status, and is documented where clients look."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from chassis import errors, idempotency
from chassis.errors import AppError
from chassis.settings import Settings
from gateway_app.openapi import merged
from tests.conftest import SERVICES

MODULES = {name: import_module(f"{name}.errors") for name in ("chassis", *SERVICES, "gateway_app")}
#: What only the operator's command line meets: no request is answered with it.
NEVER_ANSWERED = {"message_not_found", "not_replayable", "nothing_to_resume", "already_settled"}
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:9/none"


def of(module: Any) -> list[type[AppError]]:
    """The refusals that a module defines."""
    found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, AppError)]
    return [each for each in found if each.__module__ == module.__name__ and each is not AppError]


REFUSALS = [each for module in (*MODULES.values(), idempotency) for each in of(module)]


def codes_in(part: Any) -> Iterator[str]:
    """The codes of all examples of refusals in an OpenAPI document."""
    if isinstance(part, dict):
        if "correlation_id" in part and isinstance(part.get("code"), str):
            yield part["code"]
        for each in part.values():
            yield from codes_in(each)
    elif isinstance(part, list):
        for each in part:
            yield from codes_in(each)


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    known = Settings(sales_database_url=NOWHERE, inventory_database_url=NOWHERE, delivery_database_url=NOWHERE)
    apps = {name: import_module(f"{name}.app").create_app(known) for name in SERVICES}
    return {name: app.test_client().get("/openapi.json").json for name, app in apps.items()}


@pytest.mark.parametrize("error", REFUSALS, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_a_refusal_has_a_code_a_title_and_a_sentence_of_its_own_and_a_status(error: type[AppError]) -> None:
    assert {"code", "title"} <= set(vars(error))
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert 400 <= error.status <= 503
    assert error.status != 500
    assert error.__doc__


def test_a_code_means_one_thing() -> None:
    """Two services may share a code for the same refusal, and it then has the same name and the same status."""
    meaning: dict[str, tuple[str, int]] = {}
    for error in REFUSALS:
        assert meaning.setdefault(error.code, (error.__name__, error.status)) == (error.__name__, error.status)
    for module in MODULES.values():
        codes = [each.code for each in of(module)]
        assert len(codes) == len(set(codes)), module


@pytest.mark.parametrize("name", MODULES)
def test_the_tree_in_the_docstring_has_every_refusal_under_its_parent(name: str) -> None:
    tree = MODULES[name].__doc__ or ""
    for error in of(MODULES[name]):
        assert re.search(rf"\b{error.__name__}\b", tree), error.__name__
        assert str(error.status) in tree


@pytest.mark.parametrize("service", SERVICES)
def test_every_refusal_of_a_service_is_in_its_document(service: str, documents: dict[str, Any]) -> None:
    documented = set(codes_in(documents[service]["paths"]))
    assert {each.code for each in of(MODULES[service])} - NEVER_ANSWERED <= documented


def test_every_refusal_of_the_door_is_in_the_public_document(documents: dict[str, Any]) -> None:
    documented = set(codes_in(merged(documents)["paths"]))
    for module in (MODULES["gateway_app"], idempotency):
        assert {each.code for each in of(module)} <= documented


def test_the_chassis_own_tree_covers_every_status_that_the_design_names() -> None:
    assert {each.status for each in of(errors)} == {400, 403, 404, 408, 409, 412, 413, 414, 415, 421, 422, 431, 503}
