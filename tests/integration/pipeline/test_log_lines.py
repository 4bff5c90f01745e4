"""Every line of every process is a JSON object, from its start to its end, however that comes."""

import json
import signal
from typing import Any

import pytest
import urllib3

from conveyor.embedded.ports import free_port
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until

pytestmark = pytest.mark.rabbitmq

SERVICES = ("sales", "inventory", "delivery")
#: Its first look at an order is its last: nobody has foreseen this error.
CRASHES = """
from tasks.sweeper import Sweeper
def crash(self):
    raise RuntimeError("nobody has foreseen this\\nin two lines")
Sweeper.round = crash
"""
#: A warning, and a thread that crashes.
WARNS = """
import threading, warnings
from tasks import relay
run = relay.run_relay
def warn_and_run(*given):
    warnings.warn("this will be gone\\nsome day", DeprecationWarning)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    run(*given)
relay.run_relay = warn_and_run
"""


@pytest.fixture
def variables() -> dict[str, str]:
    """Logs as machines read them, and a port for each web process."""
    ports = {f"CONVEYOR_{each.upper()}_PORT": str(free_port()) for each in (*SERVICES, "gateway", "flower")}
    urls = {name.replace("_PORT", "_URL"): f"http://127.0.0.1:{port}" for name, port in ports.items()}
    del urls["CONVEYOR_FLOWER_URL"]
    said = {"CONVEYOR_LOG_FORMAT": "json", "CONVEYOR_LOG_LEVEL": "INFO", "PYTHONWARNINGS": "default"}
    return {**said, **ports, **urls}


def lines(pipeline: Pipeline, name: str) -> list[dict[str, Any]]:
    """What this process has said. Raises AssertionError for a line that is no JSON object."""
    said = []
    for line in (pipeline.folder / f"{name}.log").read_text().splitlines():
        try:
            said.append(json.loads(line))
        except ValueError:
            raise AssertionError(f"{name} said: {line!r}") from None
        assert isinstance(said[-1], dict), f"{name} said: {line!r}"
        assert {"event", "level", "timestamp", "process"} <= said[-1].keys(), f"{name} said: {line!r}"
    return said


def events(pipeline: Pipeline, name: str) -> list[str]:
    return [str(each["event"]) for each in lines(pipeline, name)]


def test_processes_of_every_kind_that_are_started_used_and_stopped_say_json_only(pipeline: Pipeline) -> None:
    for kind, service in [(kind, each) for kind in ("worker", "relay", "serve") for each in SERVICES]:
        pipeline.start(kind, service, wait=False)
    for kind, service in (("serve", "gateway"), ("sweeper", ""), ("quarantine", "")):
        pipeline.start(kind, service, wait=False)
    port = pipeline.environment["CONVEYOR_FLOWER_PORT"]
    pipeline.running["flower"] = pipeline.fork(
        "flower", f"from conveyor.cli import main\nmain(['flower', '--address=127.0.0.1', '--port={port}'])"
    )
    workers = "import sys\nsys.argv = ['conveyor']\nfrom conveyor.cli import main\n"
    two = ["worker", "inventory", "--concurrency", "2", "--name", "twins"]
    pipeline.running["workers"] = pipeline.fork("workers", f"{workers}main({two!r})")
    ordinary = [each for each in pipeline.running if each not in ("flower", "workers")]
    wait_until(lambda: all(pipeline.ready(each) for each in ordinary))
    wait_until(lambda: _answers(port, "/healthcheck") == 200)

    order = pipeline.place(pipeline.add_product(stock=5))
    wait_until(lambda: pipeline.ask("sales", "SELECT status FROM orders WHERE id = :id", id=order)[0][0] != "Pending")
    for path in ("/orders", "/nowhere", "/orders/%00"):
        _answers(pipeline.environment["CONVEYOR_GATEWAY_PORT"], path)
    for path in ("/workers", "/nowhere", "/task/nobodys"):
        _answers(port, path)
    wait_until(lambda: sum(each.endswith("ready.") for each in events(pipeline, "workers")) == 2)

    pipeline.running["worker-sales"].signal(signal.SIGUSR1)  # where it is just now: a traceback of every thread
    wait_until(lambda: any("Thread" in each or "thread" in each for each in events(pipeline, "worker-sales")))
    running = dict(pipeline.running)
    for name, process in running.items():
        process.signal(signal.SIGINT if name == "worker-inventory" else signal.SIGTERM)
    for process in running.values():
        wait_until(lambda process=process: not process.alive())  # type: ignore[misc]

    for name in running:
        assert lines(pipeline, name), f"{name} has said nothing"
    for name in ("worker-sales", "worker-delivery", "worker-inventory"):
        assert "worker: Warm shutdown (MainProcess)" in events(pipeline, name)
    assert any(each.startswith("Visit me at http://") for each in events(pipeline, "flower"))


def test_a_worker_that_is_told_to_stop_at_once_says_so_in_json(pipeline: Pipeline) -> None:
    name = pipeline.start("worker", "delivery")
    pipeline.running[name].signal(signal.SIGQUIT)
    wait_until(lambda: pipeline.dead(name))
    said = events(pipeline, name)
    assert "worker: ends at once; what it has in hand goes to others" in said


def test_a_crash_is_one_line_with_its_traceback(pipeline: Pipeline) -> None:
    name = pipeline.start("sweeper", patch=CRASHES)
    wait_until(lambda: pipeline.dead(name))
    [crash] = [each for each in lines(pipeline, name) if each["event"] == "crashed"]
    assert "RuntimeError: nobody has foreseen this\nin two lines" in crash["exception"]


def test_a_warning_and_a_thread_that_crashes_are_a_line_each(pipeline: Pipeline) -> None:
    name = pipeline.start("relay", "sales", patch=WARNS)
    assert not pipeline.dead(name)
    said = lines(pipeline, name)
    assert [each["logger"] for each in said if "this will be gone" in each["event"]] == ["py.warnings"]
    assert [each["thread"] for each in said if "ZeroDivisionError" in each.get("exception", "")]


def test_what_ends_a_process_in_a_way_that_was_foreseen_is_a_line(pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
    pipeline.environment["CONVEYOR_BROKER_URL"] = rabbitmq.add_vhost("without-queues")
    name = pipeline.start("relay", "sales")
    wait_until(lambda: pipeline.dead(name))
    rabbitmq.remove_vhost("without-queues")
    [ended] = [each for each in lines(pipeline, name) if each["event"] == "ended"]
    assert "run `conveyor topology` first" in ended["reason"]


def _answers(port: str, path: str) -> int:
    with urllib3.PoolManager(timeout=10, retries=False) as pool:
        try:
            return pool.request("GET", f"http://127.0.0.1:{port}{path}").status
        except urllib3.exceptions.HTTPError:
            return 0


def test_celerys_own_command_line_says_json_only_too(pipeline: Pipeline) -> None:
    command = ["-A", "tasks.delivery", "worker", "-P", "threads", "-c", "1"]
    celery = f"import sys\nsys.argv = ['celery', *{command!r}]\nfrom celery.__main__ import main\nmain()"
    process = pipeline.fork("celery", celery)
    try:
        wait_until(lambda: any(each.endswith("ready.") for each in events(pipeline, "celery")))
    finally:
        process.signal(signal.SIGTERM)
        process.wait(20)
        process.kill()
    assert "worker: Warm shutdown (MainProcess)" in events(pipeline, "celery")
