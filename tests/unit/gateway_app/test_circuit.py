"""The circuit before a service opens after so many silences in a row, and one trial closes it."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from chassis.errors import AppError, NotFound
from chassis.settings import Settings
from gateway_app import circuit as module
from gateway_app.circuit import Circuit
from gateway_app.errors import CircuitOpen, UpstreamBroken, UpstreamBusy, UpstreamDown, UpstreamTimeout

SETTINGS = replace(Settings(), upstream_failures=3, upstream_rest=10.0)


class Clock:
    """How long it has been, and what the clock on the wall says of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        self.set_by = timedelta(0)
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
                return datetime.now(UTC) + timedelta(seconds=clock.passed) + clock.set_by

        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.passed))
        monkeypatch.setattr("pybreaker.datetime", Moved)

    def wait(self, seconds: float) -> None:
        self.passed += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pass_through(circuit: Circuit, error: AppError | None = None) -> None:
    with circuit.passing():
        if error is not None:
            raise error


def fail(circuit: Circuit, times: int = 1, kind: type[AppError] = UpstreamDown) -> None:
    for _ in range(times):
        with pytest.raises(kind):
            pass_through(circuit, kind("it did not answer"))


@pytest.mark.parametrize("kind", [UpstreamDown, UpstreamTimeout])
def test_opens_after_three_silences_in_a_row_and_says_when_to_come_again(clock: Clock, kind: type[AppError]) -> None:
    circuit = Circuit("sales", SETTINGS)
    fail(circuit, 3, kind)
    clock.wait(4)
    with pytest.raises(CircuitOpen) as refused:
        pass_through(circuit)
    assert refused.value.headers["Retry-After"] == "6"
    assert refused.value.extra["may_have_been_executed"] is False


@pytest.mark.parametrize("answer", [None, UpstreamBroken("status 500 and HTML")])
def test_any_answer_begins_the_count_anew(answer: AppError | None) -> None:
    circuit = Circuit("sales", SETTINGS)
    for _ in range(3):
        fail(circuit, 2)
        if answer is None:
            pass_through(circuit)
        else:
            fail(circuit, 1, UpstreamBroken)
    pass_through(circuit)


def test_what_never_got_to_the_service_says_nothing_about_it(clock: Clock) -> None:
    circuit = Circuit("sales", SETTINGS)
    fail(circuit, 2)
    fail(circuit, 5, UpstreamBusy)
    fail(circuit, 5, NotFound)
    fail(circuit, 1)
    with pytest.raises(CircuitOpen):
        pass_through(circuit)
    clock.wait(11)
    fail(circuit, 1, UpstreamBusy)
    with pytest.raises(CircuitOpen):
        pass_through(circuit)
    clock.wait(11)
    pass_through(circuit)


def test_one_trial_goes_through_and_the_others_wait_for_its_outcome(clock: Clock) -> None:
    circuit = Circuit("sales", SETTINGS)
    fail(circuit, 3)
    clock.wait(11)
    with circuit.passing(), pytest.raises(CircuitOpen):
        pass_through(circuit)
    pass_through(circuit)


def test_a_trial_that_fails_opens_it_again(clock: Clock) -> None:
    circuit = Circuit("sales", SETTINGS)
    fail(circuit, 3)
    clock.wait(11)
    fail(circuit, 1)
    clock.wait(9)
    with pytest.raises(CircuitOpen):
        pass_through(circuit)
    clock.wait(2)
    pass_through(circuit)


def test_the_outcome_of_a_request_from_before_does_not_settle_the_trial(clock: Clock) -> None:
    circuit = Circuit("sales", SETTINGS)
    early = circuit.passing()
    early.__enter__()
    fail(circuit, 3)
    clock.wait(11)
    with circuit.passing():
        early.__exit__(None, None, None)
        with pytest.raises(CircuitOpen):
            pass_through(circuit)


def test_two_requests_are_under_way_at_the_same_time() -> None:
    circuit, both = Circuit("sales", SETTINGS), threading.Barrier(2, timeout=5)

    def send() -> None:
        with circuit.passing():
            both.wait()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not both.broken


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_meanwhile_changes_nothing(clock: Clock, hours: int) -> None:
    circuit = Circuit("sales", SETTINGS)
    fail(circuit, 3)
    clock.set_by = timedelta(hours=hours)
    clock.wait(4)
    with pytest.raises(CircuitOpen) as refused:
        pass_through(circuit)
    assert refused.value.headers["Retry-After"] == "6"
    clock.wait(6.1)
    pass_through(circuit)
    pass_through(circuit)
