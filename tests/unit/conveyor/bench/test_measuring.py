"""CPU and memory by kind of process, orders of each second, and what stops a run and what does not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from chassis.errors import ConveyorError
from conveyor.bench import compare, cpu, memory, parts, reading
from conveyor.bench.measure import each_second
from conveyor.bench.pipeline import Ended
from conveyor.bench.run import Bench, NotMeasured, Options

BUSY = "import time\nwhile time.process_time() < 0.4: pass\nprint('done', flush=True)\ntime.sleep(60)"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])"


@pytest.fixture
def busy() -> Iterator[int]:
    """A process whose child has taken 0.4 s of CPU."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()


def test_a_process_is_charged_with_what_it_started_but_for_what_has_a_name_of_its_own(busy: int) -> None:
    together = cpu.look({"worker-sales": busy, "worker-delivery": 999_999_999}).kinds
    assert together["workers"] > 0.25
    child = cpu.trees({"parent": busy})["parent"][1]
    apart = cpu.look({"relay-sales": busy, "gateway": child}).kinds
    assert apart["gateway"] > 0.25 > apart["relays"]


def test_cpu_since_a_look_is_what_was_used_meanwhile() -> None:
    before = cpu.look({"me": os.getpid()})
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    used = cpu.look({"me": os.getpid()}).since(before)
    assert 0.15 <= used.kinds["me"] <= 1.0
    assert used.machine >= 0.15


def test_memory_is_that_of_the_process_and_its_children_and_flower_does_not_count(busy: int) -> None:
    with memory.watched({"gateway": busy, "flower": os.getpid()}) as most:
        pass
    assert most.kinds["gateway"] > 5_000_000
    assert most.stack == most.kinds["gateway"]
    assert most.unread == {}


def test_what_may_not_be_read_is_counted_and_not_left_out(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_pss", lambda _pid: None)
    assert memory.look({"postgres": busy}).unread == {"postgres": 2}


def test_orders_of_each_second_have_a_place_for_seconds_without_any() -> None:
    assert each_second([0.1, 0.9, 3.0]) == [2, 0, 0, 1]
    assert each_second([]) == []


def test_the_rate_is_from_the_start_to_the_last_end() -> None:
    assert Ended(ended=[0.5, 1.0, 4.0]).per_second == 0.75
    assert Ended().per_second == 0.0


def bench() -> Bench:
    return Bench(settings=None, options=Options(), shop=None)  # type: ignore[arg-type]


def test_a_part_that_fails_or_cannot_be_measured_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Bench) -> Any:
        raise psycopg2.OperationalError("it is away")

    def is_not_here(_: Bench) -> Any:
        raise NotMeasured("no baseline")

    monkeypatch.setattr(parts, "PARTS", {"orders": fails, "naive": is_not_here, "list": lambda _: {"per_second": 9.0}})
    monkeypatch.setattr(parts, "pace", lambda: 20.0)
    run = bench()
    parts.run(run, ["orders", "naive", "list"])
    assert run.results == {"orders": {"failed": "it is away"}, "list": {"per_second": 9.0, "pace_ms": 20.0}}


def test_a_part_that_changed_something_is_wrong_where_reconcile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PARTS", {"orders": lambda _: {"wrong": ["one"]}, "list": lambda _: {}})
    monkeypatch.setattr(parts, "deviations", lambda _settings: ["two"])
    monkeypatch.setattr(parts, "pace", lambda: 20.0)
    run = bench()
    parts.run(run, ["list", "orders"])
    assert run.results == {"orders": {"wrong": ["one", "two"], "pace_ms": 20.0}, "list": {"pace_ms": 20.0}}


def test_pages_are_followed_to_the_last_cursor() -> None:
    class Shop:
        class gateway:
            @staticmethod
            def get(_path: str, **query: Any) -> Any:
                number = int(query.get("cursor", 0))
                return type("Answer", (), {"body": {"next_cursor": str(number + 1) if number < 5 else None}})

    run = Bench(settings=None, options=Options(), shop=Shop())  # type: ignore[arg-type]
    assert reading._follow(run, {}) == ("5", 5)


def test_a_comparison_shows_each_run_and_the_ratio_of_the_medians() -> None:
    def run(rate: float) -> dict[str, float]:
        return {"completed_per_second": rate, "machine_cpu_ms_per_order": 1_000 / rate, "post_p99_ms": 50.0}

    runs = {"A: old": [run(100), run(110), run(90)], "B: new": [run(200), run(150), run(220)]}
    ratios = {"completed_per_second": 2.0, "machine_cpu_ms_per_order": 0.5, "post_p99_ms": 1.0}
    shown = list(compare.lines({"runs": runs, "ratios": ratios, "wrong": ["saga x"], "second_alone": {}}))
    assert shown[1].split() == ["orders/s", "100.00", "200.00"]
    assert shown[4].split() == ["median", "100.00", "200.00", "2.000"]
    assert shown[-1] == "WRONG: saga x"


def test_a_revision_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConveyorError, match="no-such-revision"), compare._checked_out(["HEAD", "no-such-revision"]):
        pass
