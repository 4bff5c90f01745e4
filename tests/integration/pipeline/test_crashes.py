"""Processes that die at the worst moment: nothing is lost, nothing is done twice, neighbours go on."""

import pytest

from tests.integration.pipeline.killer import KILLER
from tests.integration.pipeline.processes import Pipeline, wait_until

pytestmark = pytest.mark.rabbitmq

#: The worker's work is committed, and it dies before it can acknowledge.
DIE_BEFORE_ACK = """
import os, tasks.step
committed = tasks.step.work
def work_and_die(*given):
    committed(*given)
    os._exit(137)
tasks.step.work = work_and_die
"""

#: The message is with the broker, and the relay dies before it can remove the row.
DIE_BEFORE_DELETE = """
import os
from tasks.publisher import Publisher
publish = Publisher.publish
def publish_and_die(self, *given):
    publish(self, *given)
    os._exit(137)
Publisher.publish = publish_and_die
"""


@pytest.mark.parametrize("service", ["inventory", "sales", "delivery"])
def test_a_worker_that_dies_between_commit_and_acknowledgement_changes_nothing(
    pipeline: Pipeline, service: str
) -> None:
    product = pipeline.add_product(stock=10)
    pipeline.start_all(**{f"worker_{service}": DIE_BEFORE_ACK})
    orders = [pipeline.place(product) for _ in range(3)]
    worker = f"worker-{service}"
    wait_until(lambda: pipeline.dead(worker))
    pipeline.start("worker", service)
    pipeline.wait_for(orders, Pending_Shipment=3)
    assert pipeline.taken(product) == 3
    deliveries = pipeline.ask("delivery", "SELECT count(*) FROM deliveries WHERE order_id = ANY(CAST(:ids AS uuid[]))",
                              ids=[str(each) for each in orders])  # fmt: skip
    assert deliveries == [(3,)]


@pytest.mark.parametrize("service", ["sales", "inventory", "delivery"])
def test_a_relay_that_dies_between_publishing_and_deleting_changes_nothing(pipeline: Pipeline, service: str) -> None:
    product = pipeline.add_product(stock=10)
    pipeline.start_all(**{f"relay_{service}": DIE_BEFORE_DELETE})
    orders = [pipeline.place(product) for _ in range(3)]
    wait_until(lambda: pipeline.dead(f"relay-{service}"))
    pipeline.start("relay", service)
    pipeline.wait_for(orders, Pending_Shipment=3)
    assert pipeline.taken(product) == 3


def test_a_message_that_kills_its_worker_ends_in_quarantine_and_harms_no_neighbour(pipeline: Pipeline) -> None:
    """Thirty share its bundle, thirty more wait behind it; when the worker is mended it finishes, too."""
    pipeline.ask("sales", "DELETE FROM quarantine RETURNING 1")
    product = pipeline.add_product(stock=1_000)
    innocent = [pipeline.place(product) for _ in range(15)]
    killer = pipeline.place(product, quantity=13)
    innocent += [pipeline.place(product) for _ in range(15)]
    pipeline.start_all(worker_inventory=KILLER)
    wait_until(lambda: pipeline.dead("worker-inventory"))
    innocent += [pipeline.place(product) for _ in range(30)]

    def quarantined() -> bool:
        if pipeline.dead("worker-inventory"):
            pipeline.start("worker", "inventory", KILLER)
        return pipeline.flagged([killer]) == 1

    wait_until(quarantined, seconds=120)
    pipeline.wait_for(innocent, Pending_Shipment=60)
    kept = pipeline.ask(
        "sales", "SELECT order_id, queue, task, reason, state, count, body->'bundle'->0->>'order_id' FROM quarantine"
    )
    died = ("stock_reservation_queue", "inventory.reserve_stock", "its worker died at it", "waiting", 3, str(killer))
    assert kept == [(killer, *died)]
    assert pipeline.taken(product) == 60

    pipeline.kill("worker-inventory")
    pipeline.start("worker", "inventory")
    pipeline.replay_all()
    pipeline.wait_for([killer], Pending_Shipment=1)
    assert (pipeline.flagged([killer]), pipeline.taken(product)) == (0, 73)
