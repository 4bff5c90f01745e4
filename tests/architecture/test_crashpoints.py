"""The table of crash points knows all that can die: a new task, route, process or command cannot be forgotten."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from celeryconfig import QUEUE_OF_TASK
from chassis.settings import Settings
from conveyor.children import Children
from conveyor.cli import cli
from conveyor.serve import APPS
from gateway_app.routes import ROUTES
from sales import saga
from tasks import sweeper
from tests.conftest import SERVICES
from tests.crashpoints.points import (
    CHAINS,
    COMMANDS,
    GATEWAY,
    PLACES,
    REQUESTS,
    SAMPLE,
    STEPS,
    SWEEPER,
    WITHOUT_POINTS,
    cases,
)
from tests.crashpoints.stories import STORIES
from tests.crashpoints.sweep import NEIGHBOURS

ROOT = Path(__file__).parents[2]
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


def process_of(command_line: str) -> str | None:
    """Its name in the table, of what may follow ``conveyor``; None for what needs no points."""
    [*_, name] = sorted(each for each in leaves(cli) if f"{command_line} ".startswith(f"{each} "))
    service = re.search(rf"\b(?:{'|'.join(APPS)})\b", command_line)
    return None if name in WITHOUT_POINTS else "-".join([name.removesuffix(" run")] + ([service[0]] if service else []))


def started_by_run(tmp_path: Path) -> Iterator[str]:
    """What ``conveyor run`` starts, but for the fork server, which is what they start in."""
    for child in Children(Settings(broker_url="amqp://broker", workers=2, relays=2), tmp_path, set()).all():
        if child.name != "fork-server":
            command = " ".join(child.command)
            yield command.partition(" -m conveyor ")[2]


def started_by_compose() -> Iterator[str]:
    """What ``docker compose up`` starts in an image of ours."""
    for service in YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"].values():
        if service["image"].startswith("conveyor:"):
            begins = " ".join(service.get("entrypoint", ["conveyor"]))
            whole = " ".join([begins, *service.get("command", [])])
            yield from (each.strip() for each in re.findall(r"conveyor ([^&]+)", whole))


def leaves(command: click.Command, *path: str) -> Iterator[str]:
    """Every command under this one, by its whole name."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    for name in command.list_commands(click.Context(command)):
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        yield from leaves(inner, *path, name)


def test_every_process_of_the_table_dies_and_all_of_them_run_when_one_does() -> None:
    assert set(NEIGHBOURS) == {each.process for each in PLACES} - {each.process for each in COMMANDS}
    assert {f"serve-{each}" for each in APPS} <= set(NEIGHBOURS)


def test_every_process_that_run_starts_is_in_the_table(tmp_path: Path) -> None:
    assert {process_of(each) for each in started_by_run(tmp_path)} - {None} == set(NEIGHBOURS)


def test_every_process_that_compose_starts_is_in_the_table() -> None:
    assert {process_of(each) for each in started_by_compose()} - {None} == set(NEIGHBOURS)


def test_every_command_is_a_process_or_has_points_or_a_reason_for_having_none() -> None:
    kinds = {each.partition("-")[0] for each in NEIGHBOURS} - {"quarantine"}
    known = kinds | {"quarantine run"} | {each.process.partition(" --")[0] for each in COMMANDS} | set(WITHOUT_POINTS)
    assert set(leaves(cli)) == known, "COMMANDS or WITHOUT_POINTS of tests/crashpoints/points.py name each"


def test_every_part_of_the_sweepers_round_dies() -> None:
    called = [each.func for each in ast.walk(ast.parse(getsource(sweeper))) if isinstance(each, ast.Call)]
    parts = {each.attr for each in called if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "sweeping"}
    assert parts
    assert {f'in_transaction_of(sweeping, "{each}")' for each in parts} == {each.work for each in SWEEPER}


def test_every_case_has_a_story_and_a_name_of_its_own() -> None:
    names = [each.id for each in cases()]
    assert len(set(names)) == len(names)
    assert set(SAMPLE) <= set(names)
    assert {each.story for each in PLACES} - {"poisoned"} <= set(STORIES)
