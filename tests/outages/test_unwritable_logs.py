"""The disk of the logs is full, or nobody reads them any more: the work goes on, and nothing is flagged."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import urllib3
from uuid_utils.compat import uuid7

from conveyor.embedded.ports import free_port
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.strange import TASK, Strange

pytestmark = pytest.mark.rabbitmq

SERVICES = ("sales", "inventory", "delivery")
WEB = (*SERVICES, "gateway")
NAMES = [*(f"{kind}-{each}" for kind in ("worker", "relay", "serve") for each in SERVICES),
         "serve-gateway", "sweeper", "quarantine", "flower", "workers"]  # fmt: skip


@contextmanager
def on_a_full_disk(folder: Path) -> Iterator[None]:
    for name in NAMES:
        (folder / f"{name}.log").symlink_to("/dev/full")
    yield


@contextmanager
def into_pipes_that_nobody_reads(folder: Path) -> Iterator[None]:
    """There are readers while the processes open their logs, and none from then on."""
    pipes = [folder / f"{name}.log" for name in NAMES]
    for each in pipes:
        os.mkfifo(each)
    readers = [os.open(each, os.O_RDONLY | os.O_NONBLOCK) for each in pipes]
    try:
        yield
    finally:
        for number in readers:
            os.close(number)


def start_everything(pipeline: Pipeline) -> None:
    for name in WEB:
        port = str(free_port())
        pipeline.environment |= {f"CONVEYOR_{name.upper()}_PORT": port}
        pipeline.environment |= {f"CONVEYOR_{name.upper()}_URL": f"http://127.0.0.1:{port}"}
    pipeline.environment |= {"CONVEYOR_SWEEP_EVERY": "0.5", "CONVEYOR_LOG_LEVEL": "DEBUG"}
    for kind, service in [(kind, each) for kind in ("worker", "relay", "serve") for each in SERVICES]:
        pipeline.start(kind, service, wait=False)
    for kind, service in (("serve", "gateway"), ("sweeper", ""), ("quarantine", "")):
        pipeline.start(kind, service, wait=False)
    main = "import sys\nsys.argv = ['conveyor']\nfrom conveyor.cli import main\n"
    flower = ["flower", "--address=127.0.0.1", f"--port={free_port()}"]
    pipeline.running["flower"] = pipeline.fork("flower", f"{main}main({flower!r})")
    two = ["worker", "inventory", "--concurrency", "2", "--name", "twins"]
    pipeline.running["workers"] = pipeline.fork("workers", f"{main}main({two!r})")
    wait_until(lambda: all(pipeline.ready(each) for each in NAMES if each not in ("flower", "workers")))


@pytest.mark.parametrize("unwritable", [on_a_full_disk, into_pipes_that_nobody_reads])
def test_thirty_orders_and_ten_cancels_end_and_nothing_is_flagged(
    unwritable: Callable[[Path], AbstractContextManager[None]], pipeline: Pipeline, rabbitmq: RabbitMQ
) -> None:
    with unwritable(pipeline.folder):
        start_everything(pipeline)
    product = pipeline.add_product(stock=100)
    with urllib3.PoolManager(timeout=20, retries=False) as pool:
        orders = [post(pool, pipeline, "/orders", draft(pipeline, product)) for _ in range(30)]
        # All of them complain: a bad request, a broker that is away, a message that nobody can read.
        bad = pool.request("POST", f"{gateway(pipeline)}/orders", body=b"{", headers={"Content-Type": "text/odd"})
        assert bad.status in (400, 415, 422)
        pipeline.wait_for(orders, Pending_Shipment=30)
        pipeline.publish("order_status_queue", Strange("nonsense", b"{", {"task": TASK, "id": str(uuid7())}))
        rabbitmq.rabbitmqctl("stop_app")
        try:
            for each in orders[:10]:
                post(pool, pipeline, f"/orders/{each}/cancel", {})
        finally:
            rabbitmq.rabbitmqctl("start_app")
    pipeline.wait_for(orders, 90, Pending_Shipment=20, Cancelled=10)
    assert pipeline.flagged(orders) == 0
    assert pipeline.taken(product) == 20
    ours = "SELECT count(*) FROM quarantine WHERE order_id = ANY(CAST(:orders AS uuid[]))"
    assert pipeline.ask("sales", ours, orders=[str(each) for each in orders]) == [(0,)]
    assert [each for each in NAMES if pipeline.dead(each)] == []
    ends = {name: pipeline.running.pop(name) for name in NAMES}
    for process in ends.values():
        process.signal(15)
    for process in ends.values():
        wait_until(lambda process=process: not process.alive())  # type: ignore[misc]
    codes = {name: process.exit_code() for name, process in ends.items()}
    assert {name: code for name, code in codes.items() if code != 0} == {}


def gateway(pipeline: Pipeline) -> str:
    return pipeline.environment["CONVEYOR_GATEWAY_URL"]


def draft(pipeline: Pipeline, product: UUID) -> object:
    return {"customer_id": str(pipeline.customer), "items": [{"product_id": str(product), "quantity": 1}]}


def post(pool: urllib3.PoolManager, pipeline: Pipeline, path: str, body: object) -> UUID:
    headers = {"Content-Type": "application/json"}
    answer = pool.request("POST", gateway(pipeline) + path, body=json.dumps(body), headers=headers)
    assert answer.status in (200, 201, 202), answer.data
    return UUID(json.loads(answer.data)["id"])
