"""Is what a process depends on there: answered soon, cheaply, and by name only."""

import threading
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from chassis import readiness
from chassis.errors import Unavailable
from chassis.readiness import Check, Readiness
from chassis.settings import Settings
from chassis.web import create_base_app


class Dependency:
    """It answers what it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.wrong: str | None = None
        self.error: Exception | None = None
        self.speaks = threading.Event()
        self.speaks.set()

    def __call__(self) -> str | None:
        self.asked += 1
        self.speaks.wait(20)
        if self.error is not None:
            raise self.error
        return self.wrong


@pytest.fixture
def shelf() -> Iterator[Dependency]:
    dependency = Dependency()
    yield dependency
    dependency.speaks.set()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", 0.1)


def well() -> None:
    """Nothing is wrong."""


def test_everything_is_named_with_what_is_wrong(shelf: Dependency) -> None:
    def away() -> str | None:
        raise Unavailable("not now")

    shelf.error = OSError("a secret of the inside")
    found = Readiness({"shelf": shelf, "clock": well, "door": away, "lamp": lambda: "not_ready"}).states()
    assert found == {"shelf": "down", "clock": "ok", "door": "unavailable", "lamp": "not_ready"}


def test_what_is_silent_is_down_and_nobody_waits_longer_for_it(shelf: Dependency, quick: None) -> None:
    shelf.speaks.clear()
    asked = Readiness({"shelf": shelf, "cupboard": shelf, "clock": well})
    began = time.monotonic()
    assert asked.states() == {"shelf": "silent", "cupboard": "silent", "clock": "ok"}
    assert time.monotonic() - began < 5


def test_what_is_silent_is_asked_once_and_heard_when_it_speaks_again(shelf: Dependency, quick: None) -> None:
    shelf.speaks.clear()
    asked = Readiness({"shelf": shelf})
    for _ in range(5):
        assert asked.states(fresh_for=0.0) == {"shelf": "silent"}
    assert shelf.asked == 1
    shelf.speaks.set()
    deadline = time.monotonic() + 10
    while asked.states() != {"shelf": "ok"}:
        assert time.monotonic() < deadline


def test_what_was_found_counts_for_a_while_however_many_ask(shelf: Dependency, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "FRESH_FOR", 60.0)
    asked = Readiness({"shelf": shelf})
    threads = [threading.Thread(target=asked.states, args=(60.0,)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    shelf.wrong = "not_ready"
    assert asked.states(60.0) == {"shelf": "ok"}
    assert shelf.asked == 1
    assert asked.states(0.0) == {"shelf": "not_ready"}


def client_of(checks: dict[str, Check], needed: list[list[str]] | None) -> FlaskClient:
    return create_base_app("things", Settings(), [], checks, needed=needed).test_client()


def broken() -> None:
    raise OSError("a secret of the inside: 10.0.0.7")


@pytest.mark.parametrize(
    ("down", "needed", "status"),
    [
        ([], [["one", "two"]], 200),
        (["three"], [["one", "two"]], 200),
        (["one"], [["one", "two"]], 200),
        (["one", "two"], [["one", "two"]], 503),
        (["one", "three"], [["one"]], 503),
        (["one"], [["one"], ["two"]], 503),
        (["three"], None, 503),
        ([], None, 200),
        (["one", "two", "three"], [], 200),
    ],
)
def test_a_process_is_ready_while_one_of_each_group_that_it_needs_is_there_and_names_what_is_not(
    down: list[str], needed: list[list[str]] | None, status: int
) -> None:
    client = client_of({name: broken if name in down else well for name in ("one", "two", "three")}, needed)
    answer = client.get("/health/ready")
    assert answer.status_code == status
    assert answer.json.get("down", []) == sorted(down)
    assert "secret" not in answer.text
    if status == 200:
        assert answer.json["status"] == ("degraded" if down else "ok")
        assert answer.json["checked"] == ["one", "three", "two"]
    else:
        assert (answer.json["code"], answer.mimetype) == ("unavailable", "application/problem+json")
    assert client.get("/health/live").status_code == 200
