"""A database that is away for longer than a message is kept: nobody is flagged, however long it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection

from celeryconfig import DELIVERY_LIMIT_BEFORE, work_queue
from chassis.ready import why_not_ready
from conveyor.embedded.postgres import Postgres
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.silent_proxy import SilentProxy

pytestmark = pytest.mark.rabbitmq

QUEUES = ("inventory_check_queue", "stock_reservation_queue", "stock_release_queue")
#: A worker that goes on taking what it can only hand back.
TAKES_ON = """
from tasks import patience
patience.Absence.begins = lambda *_: None
patience.SHORTEST_PAUSE = 0
"""


class Outlet:
    """The way of inventory's worker to its database, which somebody may close."""

    def __init__(self, postgres: Postgres) -> None:
        self._target = postgres.port
        self._proxy = SilentProxy(self._target)
        self.url = postgres.service_url("inventory").replace(f":{self._target}/", f":{self._proxy.port}/")

    @contextmanager
    def closed(self) -> Iterator[None]:
        port = self._proxy.port
        self._proxy.close()
        yield
        self._proxy = SilentProxy(self._target, port)

    def close(self) -> None:
        self._proxy.close()


@pytest.fixture
def outlet(postgres: Postgres) -> Iterator[Outlet]:
    outlet = Outlet(postgres)
    yield outlet
    outlet.close()


def start(pipeline: Pipeline, outlet: Outlet, wait: str, patch: str = "") -> None:
    environment = {"CONVEYOR_INVENTORY_DATABASE_URL": outlet.url, "CONVEYOR_DATABASE_WAIT": wait}
    pipeline.start("worker", "inventory", patch, wait=False, **environment)
    for kind, service in (("relay", "sales"), ("relay", "inventory"), ("relay", "delivery"), ("quarantine", "")):
        pipeline.start(kind, service, wait=False)
    for service in ("sales", "delivery"):
        pipeline.start("worker", service, wait=False)
    pipeline.wait_for_ready()


def handed_back(pipeline: Pipeline) -> int:
    return log_of(pipeline).count("message_handed_back")


def log_of(pipeline: Pipeline) -> str:
    return Path(pipeline.folder, "worker-inventory.log").read_text()


def consumers(pipeline: Pipeline) -> list[int]:
    with Connection(pipeline.environment["CONVEYOR_BROKER_URL"]) as connection:
        channel = connection.default_channel
        return [channel.queue_declare(queue, passive=True).consumer_count for queue in QUEUES]


def test_a_worker_hands_back_what_it_has_takes_nothing_more_and_says_why_until_its_database_is_back(
    pipeline: Pipeline, outlet: Outlet
) -> None:
    product = pipeline.add_product(stock=10)
    start(pipeline, outlet, wait="1")
    with outlet.closed():
        orders = [pipeline.place(product) for _ in range(5)]
        wait_until(lambda: handed_back(pipeline))
        wait_until(lambda: consumers(pipeline) == [0, 0, 0])
        before = handed_back(pipeline)
        assert why_not_ready(pipeline.ready_files["worker-inventory"]) == "its database is away"
        orders += [pipeline.place(product) for _ in range(5)]
        wait_until(lambda: pipeline.ask("sales", "SELECT FROM outbox") == [])
        assert handed_back(pipeline) == before <= 5
    pipeline.wait_for(orders, Pending_Shipment=10)
    wait_until(lambda: consumers(pipeline) == [1, 1, 1])
    wait_until(lambda: why_not_ready(pipeline.ready_files["worker-inventory"]) is None)
    assert pipeline.flagged(orders) == 0
    assert not pipeline.dead("worker-inventory")


def test_three_hundred_times_handed_back_is_nobodys_fault(pipeline: Pipeline, outlet: Outlet) -> None:
    pipeline.ask("sales", "DELETE FROM quarantine RETURNING 1")
    product = pipeline.add_product(stock=10)
    start(pipeline, outlet, wait="0", patch=TAKES_ON)
    with outlet.closed():
        order = pipeline.place(product)
        wait_until(lambda: handed_back(pipeline) >= 300, 120)
    pipeline.wait_for([order], Pending_Shipment=1)
    assert pipeline.flagged([order]) == 0
    assert pipeline.ask("sales", "SELECT count(*) FROM quarantine") == [(0,)]


def test_control_where_deliveries_are_counted_up_to_a_hundred_it_is_flagged(pipeline: Pipeline, outlet: Outlet) -> None:
    with Connection(pipeline.environment["CONVEYOR_BROKER_URL"]) as connection:
        connection.default_channel.queue_delete("inventory_check_queue")
        work_queue("inventory_check_queue", DELIVERY_LIMIT_BEFORE)(connection.default_channel).declare()
    start(pipeline, outlet, wait="0", patch=TAKES_ON)
    with outlet.closed():
        order = pipeline.place(pipeline.add_product(stock=10))
        wait_until(lambda: pipeline.flagged([order]) == 1, 120)


def test_workers_of_this_release_let_a_queue_go_that_is_moved_and_go_on(pipeline: Pipeline) -> None:
    with Connection(pipeline.environment["CONVEYOR_BROKER_URL"]) as connection:
        for queue in QUEUES:
            connection.default_channel.queue_delete(queue)
            work_queue(queue, DELIVERY_LIMIT_BEFORE)(connection.default_channel).declare()
    product = pipeline.add_product(stock=50)
    pipeline.start_all()
    orders = [pipeline.place(product) for _ in range(20)]
    told = pipeline.run("topology")
    orders += [pipeline.place(product) for _ in range(5)]
    pipeline.wait_for(orders, Pending_Shipment=25)
    assert pipeline.taken(product) == 25
    assert all(f"moved {queue}" in told for queue in QUEUES)
    assert "moved" not in pipeline.run("topology")
    assert not [name for name in pipeline.running if pipeline.dead(name)]
