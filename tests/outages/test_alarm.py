"""RabbitMQ's alarm of memory or disk: it takes no messages until that is over, and everybody knows and waits."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chassis.ready import why_not_ready
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.silent_proxy import SilentProxy, silent_proxy

pytestmark = pytest.mark.rabbitmq

#: Seconds. Before the alarm was understood, a relay opened a connection every six, and sent everything again on it.
LASTS = 20.0
SERVICES = ("sales", "inventory", "delivery")
ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "0.00000001"), ("set_vm_memory_high_watermark", "absolute", "1GB")),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "100MB")),
}
#: A relay that takes no notice.
DEAF = """
from tasks.publisher import Publisher
Publisher._on_blocked = lambda *_: None
"""


@pytest.fixture
def proxy(rabbitmq: RabbitMQ) -> Iterator[SilentProxy]:
    with silent_proxy(rabbitmq.port) as proxy:
        yield proxy


@contextmanager
def alarm(rabbitmq: RabbitMQ, kind: str) -> Iterator[None]:
    begin, end = ALARMS[kind]
    rabbitmq.rabbitmqctl(*begin)
    try:
        yield
    finally:
        rabbitmq.rabbitmqctl(*end)


def start(pipeline: Pipeline, proxy: SilentProxy, rabbitmq: RabbitMQ, patch: str = "") -> None:
    url = pipeline.environment["CONVEYOR_BROKER_URL"]
    pipeline.environment["CONVEYOR_BROKER_URL"] = url.replace(f":{rabbitmq.port}/", f":{proxy.port}/")
    for service in SERVICES:
        pipeline.start("worker", service, wait=False, options=("--events",))
        pipeline.start("relay", service, patch, wait=False)
    pipeline.wait_for_ready()


def log_of(pipeline: Pipeline, name: str) -> str:
    return Path(pipeline.folder, f"{name}.log").read_text()


def steps(pipeline: Pipeline) -> Counter[tuple[str, str]]:
    """How often each step was done for each order."""
    lines = "".join(log_of(pipeline, f"worker-{service}") for service in SERVICES).splitlines()
    said = [json.loads(line) for line in lines if '"event":"step"' in line]
    return Counter((each["task"], each["order_id"]) for each in said)


@pytest.mark.parametrize("kind", ALARMS)
def test_relays_rest_on_the_connection_they_have_and_nothing_is_sent_twice(
    pipeline: Pipeline, proxy: SilentProxy, rabbitmq: RabbitMQ, kind: str
) -> None:
    product = pipeline.add_product(stock=100)
    start(pipeline, proxy, rabbitmq)
    orders = [pipeline.place(product)]
    pipeline.wait_for(orders, Pending_Shipment=1)
    opened = proxy.accepted
    with alarm(rabbitmq, kind):
        orders += [pipeline.place(product) for _ in range(30)]
        wait_until(lambda: "broker_alarm" in log_of(pipeline, "relay-sales"))
        began = time.monotonic()
        orders += [pipeline.place(product) for _ in range(30)]
        assert "the broker has an alarm" in str(why_not_ready(pipeline.ready_files["relay-sales"]))
        wait_until(lambda: time.monotonic() - began > LASTS)
        assert log_of(pipeline, "relay-sales").count("broker_alarm") == 1
        assert pipeline.statuses(orders)["Pending"] >= 30
    pipeline.wait_for(orders, Pending_Shipment=61)
    assert set(steps(pipeline).values()) == {1}
    assert len(steps(pipeline)) == 5 * 61
    assert proxy.accepted == opened
    wait_until(lambda: why_not_ready(pipeline.ready_files["relay-sales"]) is None)


def test_control_a_relay_that_does_not_understand_sends_everything_again_on_connection_after_connection(
    pipeline: Pipeline, proxy: SilentProxy, rabbitmq: RabbitMQ
) -> None:
    product = pipeline.add_product(stock=100)
    start(pipeline, proxy, rabbitmq, DEAF)
    opened = proxy.accepted
    with alarm(rabbitmq, "memory"):
        orders = [pipeline.place(product) for _ in range(5)]
        wait_until(lambda: proxy.accepted >= opened + 3)
    pipeline.wait_for(orders, Pending_Shipment=5)
    wait_until(lambda: max(steps(pipeline).values()) > 1)


def test_every_process_ends_when_told_to_during_an_alarm(
    pipeline: Pipeline, proxy: SilentProxy, rabbitmq: RabbitMQ
) -> None:
    product = pipeline.add_product(stock=100)
    start(pipeline, proxy, rabbitmq)
    pipeline.start("quarantine")
    pipeline.start("sweeper")
    with alarm(rabbitmq, "memory"):
        orders = [pipeline.place(product) for _ in range(5)]
        wait_until(lambda: "broker_alarm" in log_of(pipeline, "relay-sales"))
        # Long enough for each worker to have sent its heartbeat into a connection that nobody reads.
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 5)
        ending = dict(pipeline.running)
        for process in ending.values():
            process.signal(signal.SIGTERM)
        wait_until(lambda: not [name for name, process in ending.items() if process.alive()], 15)
        for name in ending:
            assert "Traceback" not in log_of(pipeline, name)
            assert "worker_ends_with_work_in_hand" not in log_of(pipeline, name)
    pipeline.running.clear()
    start_again(pipeline)
    pipeline.wait_for(orders, Pending_Shipment=5)


def start_again(pipeline: Pipeline) -> None:
    for service in SERVICES:
        pipeline.start("worker", service, wait=False)
        pipeline.start("relay", service, wait=False)
    pipeline.wait_for_ready()
