"""A proxy forgets the connections that there are, acknowledges what comes on them, and serves new ones at once."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import urllib3
from sqlalchemy import make_url

from chassis import overdue
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from tests.integration.pipeline.processes import Pipeline
from tests.integration.pipeline.silent_proxy import SilentProxy

pytestmark = pytest.mark.rabbitmq

SERVICES = ("sales", "inventory", "delivery")
#: Seconds after which everything has to be as before.
BACK_WITHIN = 30.0


class ForgetfulProxy(SilentProxy):
    """A way to a server. What was connected when it forgets is taken and never passed on."""

    _generation = 0

    def forget(self) -> None:
        self._generation += 1

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        generation = self._generation
        with suppress(OSError):  # either end was closed
            while received := source.recv(65_536):
                if generation == self._generation:
                    sink.sendall(received)
            if generation == self._generation:
                sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[ForgetfulProxy]:
    made = ForgetfulProxy(postgres.port)
    yield made
    made.close()


def start_everything(pipeline: Pipeline, postgres: Postgres, proxy: ForgetfulProxy, patch: str = "") -> None:
    for service in SERVICES:
        url = make_url(postgres.service_url(service)).set(port=proxy.port).render_as_string(hide_password=False)
        pipeline.environment[f"CONVEYOR_{service.upper()}_DATABASE_URL"] = url
    for name in (*SERVICES, "gateway"):
        port = str(free_port())
        pipeline.environment |= {f"CONVEYOR_{name.upper()}_PORT": port}
        pipeline.environment |= {f"CONVEYOR_{name.upper()}_URL": f"http://127.0.0.1:{port}"}
    for service in SERVICES:
        for kind in ("worker", "relay", "serve"):
            pipeline.start(kind, service, patch, wait=False)
    pipeline.start("serve", "gateway", wait=False)
    pipeline.start("sweeper", patch=patch, wait=False)
    pipeline.wait_for_ready()


def post(pool: urllib3.PoolManager, pipeline: Pipeline, product: UUID) -> Any:
    """The order, None where it was refused."""
    draft = {"customer_id": str(pipeline.customer), "items": [{"product_id": str(product), "quantity": 1}]}
    headers = {"Content-Type": "application/json"}
    url = f"{pipeline.environment['CONVEYOR_GATEWAY_URL']}/orders"
    try:
        answer = pool.request("POST", url, body=json.dumps(draft), headers=headers)
    except urllib3.exceptions.HTTPError:
        return None
    return UUID(json.loads(answer.data)["id"]) if answer.status == 201 else None


@pytest.mark.parametrize("idle", [0.0, 2.0], ids=["in use", "idle"])
def test_orders_are_taken_and_finish_within_thirty_seconds(
    pipeline: Pipeline, postgres: Postgres, proxy: ForgetfulProxy, idle: float
) -> None:
    start_everything(pipeline, postgres, proxy)
    product = pipeline.add_product(stock=1_000)
    with urllib3.PoolManager(timeout=20, retries=False) as pool:
        before = [post(pool, pipeline, product) for _ in range(10)]
        pipeline.wait_for(before, Pending_Shipment=10)
        threading.Event().wait(idle)  # how long nobody has used them is what is tried
        proxy.forget()
        began = time.monotonic()
        taken: list[UUID] = []
        while len(taken) < 5:
            assert time.monotonic() - began < BACK_WITHIN, taken
            if order := post(pool, pipeline, product):
                taken.append(order)
    pipeline.wait_for(taken, BACK_WITHIN - (time.monotonic() - began), Pending_Shipment=5)
    assert pipeline.flagged(before + taken) == 0


def test_control_without_it_the_service_answers_nobody(
    pipeline: Pipeline, postgres: Postgres, proxy: ForgetfulProxy
) -> None:
    start_everything(pipeline, postgres, proxy, "from chassis import overdue\noverdue.Overdue._close = lambda *_: None")
    product = pipeline.add_product(stock=1_000)
    with urllib3.PoolManager(timeout=20, retries=False) as pool:
        pipeline.wait_for([post(pool, pipeline, product)], Pending_Shipment=1)
        proxy.forget()
        assert [post(pool, pipeline, product) for _ in range(3)] == [None, None, None]


def test_a_statement_that_takes_as_long_as_it_may_is_waited_for(pipeline: Pipeline) -> None:
    assert pipeline.ask("sales", "SELECT 7 FROM pg_sleep(:long)", long=overdue.AT_ONCE + 2) == [(7,)]
