"""Errands are done at their time, and lead to more."""

import threading
import time
from collections.abc import Iterable

import pytest

from conveyor.chaos.errands import Errand, Errands

Again = Iterable[tuple[float, Errand]]


def test_errands_are_done_in_the_order_of_their_time_and_lead_to_more() -> None:
    done: list[str] = []

    def note(name: str, *more: str) -> Errand:
        def errand() -> Again:
            done.append(name)
            for each in more:
                yield 0.01, note(each)

        return errand

    errands, now = Errands(), time.monotonic()
    errands.add(now + 0.1, note("second", "third"))
    errands.add(now, note("first"))
    errands.run(3)
    assert done == ["first", "second", "third"]
    assert errands.left == 0


def test_an_errand_that_fails_ends_the_others_and_is_told() -> None:
    def fail() -> Again:
        raise ZeroDivisionError

    errands = Errands()
    errands.add(time.monotonic(), fail)
    errands.add(time.monotonic() + 60, fail)
    with pytest.raises(ZeroDivisionError):
        errands.run(2)


def test_several_errands_are_done_at_once() -> None:
    met = threading.Barrier(3, timeout=10)

    def meet() -> Again:
        met.wait()
        return ()

    errands = Errands()
    for _ in range(3):
        errands.add(time.monotonic(), meet)
    errands.run(3)


def test_after_stop_no_errand_is_begun() -> None:
    errands = Errands()

    def stop() -> Again:
        errands.stop()
        yield 0, stop

    errands.add(time.monotonic(), stop)
    errands.run(1)
    assert errands.left == 1
