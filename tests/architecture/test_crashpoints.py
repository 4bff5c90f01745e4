"""The table of crash points knows everything that can die: a new task, route or process cannot be forgotten."""

from importlib import import_module

import pytest

from celeryconfig import QUEUE_OF_TASK
from chassis.settings import Settings
from conveyor.serve import APPS
from gateway_app.routes import ROUTES
from sales import saga
from tests.conftest import SERVICES
from tests.crashpoints.points import CHAINS, GATEWAY, PLACES, REQUESTS, SAMPLE, STEPS, cases
from tests.crashpoints.stories import STORIES
from tests.crashpoints.sweep import NEIGHBOURS

#: Ask, and change nothing.
QUESTIONS = {"products.check_availability"}


def test_every_task_dies_in_its_work_in_its_split_at_its_count_and_in_its_fault() -> None:
    places = {each.name for each in STEPS}
    for task in QUEUE_OF_TASK:
        assert any(name.startswith(f"{task} (") for name in places), task
        assert {f"{task}, split", f"{task}, count", f"{task}, fault"} <= places


@pytest.mark.parametrize("chain", [saga.place, saga.cancel, saga.move, saga.report], ids=lambda each: each.__name__)
def test_every_link_of_every_chain_is_a_place_to_die(chain: object) -> None:
    links = [each["task"] for each in chain({}).tasks]  # type: ignore[operator]
    assert list(CHAINS[chain.__name__][1:]) == links  # type: ignore[attr-defined]


@pytest.mark.parametrize("service", SERVICES)
def test_every_request_that_changes_something_is_a_place_to_die(service: str) -> None:
    app = import_module(APPS[service]).create_app(Settings(**{f"{service}_database_url": "postgresql://nowhere/x"}))
    changing = {rule.endpoint for rule in app.url_map.iter_rules() if rule.methods & {"POST", "PUT", "PATCH", "DELETE"}}
    listed = {each.work for each in REQUESTS if each.process == f"serve-{service}"}
    assert {f"in_request({each!r})" for each in changing - QUESTIONS} == listed


def test_every_public_route_that_changes_something_is_a_place_for_the_gateway_to_die() -> None:
    changing = {f"in_request({f'{each.method} {each.path}'!r})" for each in ROUTES if not each.reads}
    assert {each.work for each in GATEWAY} == changing


def test_every_kind_of_process_dies() -> None:
    assert set(NEIGHBOURS) <= {each.process for each in PLACES}
    assert {f"serve-{each}" for each in APPS} <= set(NEIGHBOURS)


def test_every_case_has_a_story_and_a_name_of_its_own() -> None:
    names = [each.id for each in cases()]
    assert len(set(names)) == len(names)
    assert set(SAMPLE) <= set(names)
    assert {each.story for each in PLACES} - {"poisoned"} <= set(STORIES)
