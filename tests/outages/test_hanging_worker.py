"""A worker that hangs, that the broker shuts out, or whose connection breaks on its own side only."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chassis import ready
from chassis.ready import why_not_ready
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.silent_proxy import SilentProxy

pytestmark = pytest.mark.rabbitmq

#: The first step that this worker does stands for six seconds, and is said to hang after one.
STANDS = """
import os, time
from inventory import service
from tasks import intake
intake.HANGS_AFTER = 1.0
check = service.check_availability
def stand(session, orders):
    if not os.path.exists("stood"):
        open("stood", "w").close()
        time.sleep(6)
    return check(session, orders)
service.check_availability = stand
"""
#: Each step waits for ever.
HANGS = """
import threading
from inventory import service
def hang(*_):
    open("hanging", "w").close()
    threading.Event().wait()
service.check_availability = hang
from tasks import ending
ending.ENDS_WITHIN = 3.0
"""


def log_of(pipeline: Pipeline, name: str = "worker-inventory") -> str:
    return Path(pipeline.folder, f"{name}.log").read_text()


def test_one_that_is_stopped_is_known_by_the_age_of_its_heartbeat(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "OLD_AFTER", ready.TOUCH_EVERY + 2)
    pipeline.start("worker", "inventory")
    file = pipeline.ready_files["worker-inventory"]
    assert why_not_ready(file) is None
    os.kill(pipeline.running["worker-inventory"].pid, signal.SIGSTOP)
    wait_until(lambda: "nothing heard of it for" in str(why_not_ready(file)), 20)
    os.kill(pipeline.running["worker-inventory"].pid, signal.SIGCONT)
    wait_until(lambda: why_not_ready(file) is None, 20)


def test_one_whose_channel_the_broker_closes_says_that_it_hangs_and_consumes_again(
    pipeline: Pipeline, rabbitmq: RabbitMQ
) -> None:
    """RabbitMQ's time-out of a consumer, 30 minutes by default; it looks once a minute."""
    rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, consumer_timeout, 1500).")
    try:
        pipeline.start_all(worker_inventory=STANDS)
        file = pipeline.ready_files["worker-inventory"]
        order = pipeline.place(pipeline.add_product(5))
        wait_until(lambda: "a step has been at work for" in str(why_not_ready(file)))
        wait_until(lambda: "PRECONDITION_FAILED" in log_of(pipeline))
        pipeline.wait_for([order], Pending_Shipment=1)
        wait_until(lambda: why_not_ready(file) is None)
        assert not pipeline.dead("worker-inventory")
    finally:
        rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, channel_tick_interval, 60000).")
        rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([signal.SIGTERM], "worker_ends_with_work_in_hand"),
        ([signal.SIGQUIT], "ends at once"),
        ([signal.SIGINT, signal.SIGINT], "ends at once"),
    ],
    ids=["SIGTERM", "SIGQUIT", "Ctrl-C twice"],
)
def test_one_that_hangs_ends_when_told_to_and_its_message_goes_to_another(
    pipeline: Pipeline, numbers: list[signal.Signals], said: str
) -> None:
    pipeline.start("relay", "sales")
    pipeline.start("worker", "inventory", HANGS)
    order = pipeline.place(pipeline.add_product(5))
    wait_until(Path(pipeline.folder, "hanging").exists)
    for told, number in enumerate(numbers):
        wait_until(lambda told=told: log_of(pipeline).count("(MainProcess)") >= told)
        pipeline.running["worker-inventory"].signal(number)
    wait_until(lambda: pipeline.dead("worker-inventory"), 12)
    assert said in log_of(pipeline)
    assert "Traceback" not in log_of(pipeline)
    pipeline.kill("worker-inventory")
    pipeline.kill("relay-sales")
    pipeline.start_all()
    pipeline.wait_for([order], Pending_Shipment=1)


def test_a_child_of_a_pool_of_processes_ends_too(pipeline: Pipeline) -> None:
    """``celery -A tasks.inventory worker`` forks by default."""
    pipeline.start("relay", "sales")
    run = "import sys\nfrom celery.__main__ import main\n"
    arguments = ["celery", "-A", "tasks.inventory", "worker", "-c", "1"]
    code = f"{HANGS}\n{run}sys.argv = {arguments!r}\nsys.path.insert(0, {str(Path.cwd())!r})\nmain()"
    process = subprocess.Popen([sys.executable, "-c", code], env=pipeline.environment, cwd=pipeline.folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        pipeline.place(pipeline.add_product(5))
        wait_until(Path(pipeline.folder, "hanging").exists)
        forked = children(process.pid)
        process.terminate()
        assert process.wait(15) == 1
        wait_until(lambda: not [pid for pid in forked if Path(f"/proc/{pid}").exists()], 5)
    finally:
        for pid in children(process.pid) if process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        process.kill()


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def cable(rabbitmq: RabbitMQ, pipeline: Pipeline) -> Iterator["Cable"]:
    cable = Cable(rabbitmq.port)
    yield cable
    if "worker-inventory" in pipeline.running:
        pipeline.end("worker-inventory")  # with its children
    cable.close()


class Cable(SilentProxy):
    """A way to the broker that breaks on the worker's side only: the broker's end stays open."""

    def cut(self) -> None:
        """Close what leads to clients."""
        clients = [each for each in self._sockets[1:] if each.getsockname()[1] == self.port]
        assert clients
        for each in clients:
            each.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(65_536):
                sink.sendall(received)


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_a_connection_that_breaks_on_its_side_only_is_opened_anew_at_once(
    pipeline: Pipeline, rabbitmq: RabbitMQ, cable: Cable, concurrency: str
) -> None:
    """Its control queue is still the old connection's then: were it exclusive, the worker would end."""
    url = pipeline.environment["CONVEYOR_BROKER_URL"].replace(f":{rabbitmq.port}/", f":{cable.port}/")
    pipeline.start("worker", "inventory", options=("--concurrency", concurrency), CONVEYOR_BROKER_URL=url)
    for kind, service in (("relay", "sales"), ("relay", "inventory"), ("relay", "delivery")):
        pipeline.start(kind, service)
    pipeline.start("worker", "sales")
    pipeline.start("worker", "delivery")
    product = pipeline.add_product(10)
    order = pipeline.place(product)
    pipeline.wait_for([order], Pending_Shipment=1)
    cable.cut()
    began = time.monotonic()
    wait_until(lambda: log_of(pipeline).count("Connected to amqp") >= 2 * int(concurrency), 20)
    orders = [pipeline.place(product) for _ in range(3)]
    pipeline.wait_for(orders, Pending_Shipment=3)
    assert time.monotonic() - began < 30
    assert '"worker_died"' not in log_of(pipeline)
    assert not pipeline.dead("worker-inventory")


def test_a_killed_worker_leaves_no_control_queue_behind(pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
    def control_queues() -> list[str]:
        vhost = pipeline.environment["CONVEYOR_BROKER_URL"].rpartition("/")[2]
        found = [each["name"] for each in rabbitmq.management("GET", f"queues/{vhost}")]
        return [name for name in found if name.endswith(".pidbox")]

    for _ in range(2):
        pipeline.start("worker", "inventory")
        wait_until(control_queues, 20)
        pipeline.kill("worker-inventory")
    wait_until(lambda: control_queues() == [], 40)
