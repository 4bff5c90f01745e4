"""With a guard taken out from outside, the loss that it prevents is found: these tests could fail."""

import pytest

from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.test_crashes import KILLER

pytestmark = pytest.mark.rabbitmq

ACKNOWLEDGE_EARLY = """
from tasks.app import app
app.conf.task_acks_late = False
"""

#: It dies in the middle of its work, before anything is committed: a second of work, in which the broker can take
#: notice of an acknowledgement that came too early.
DIE_AT_WORK = """
import os
from sqlalchemy import text
from inventory import service
def die(session, orders):
    session.execute(text("SELECT pg_sleep(1)"))
    os._exit(137)
service.reserve_stock = die
"""

FORGETFUL = """
from tasks import step
step.count_attempt = lambda session, message_id, error=None: 1
"""


def waiting(pipeline: Pipeline, rabbitmq: RabbitMQ, queue: str) -> int:
    vhost = pipeline.environment["CONVEYOR_BROKER_URL"].rsplit("/", 1)[1]
    listed = rabbitmq.rabbitmqctl("-q", "list_queues", "-p", vhost, "name", "messages", "--no-table-headers")
    return int(dict(line.split("\t") for line in listed.splitlines() if "\t" in line)[queue])


def test_an_early_acknowledgement_loses_what_a_dying_worker_had_in_hand(pipeline: Pipeline, rabbitmq: RabbitMQ) -> None:
    product = pipeline.add_product(stock=10)
    pipeline.start_all(worker_inventory=ACKNOWLEDGE_EARLY + DIE_AT_WORK)
    order = pipeline.place(product)
    wait_until(lambda: pipeline.dead("worker-inventory"))
    pipeline.start("worker", "inventory")
    after = pipeline.place(product)
    pipeline.wait_for([after], Pending_Shipment=1)
    wait_until(lambda: waiting(pipeline, rabbitmq, "stock_reservation_queue") == 0)
    assert pipeline.statuses([order]) == {"Pending": 1}


def test_the_very_same_death_loses_nothing_when_it_is_acknowledged_late(pipeline: Pipeline) -> None:
    product = pipeline.add_product(stock=10)
    pipeline.start_all(worker_inventory=DIE_AT_WORK)
    order = pipeline.place(product)
    wait_until(lambda: pipeline.dead("worker-inventory"))
    pipeline.start("worker", "inventory")
    pipeline.wait_for([order], Pending_Shipment=1)


def test_without_counting_attempts_a_killer_goes_on_killing(pipeline: Pipeline) -> None:
    killer = pipeline.place(pipeline.add_product(stock=100), quantity=13)
    pipeline.start_all(worker_inventory=FORGETFUL + KILLER)
    for _ in range(6):  # with the count it is over after three
        wait_until(lambda: pipeline.dead("worker-inventory"))
        pipeline.start("worker", "inventory", FORGETFUL + KILLER)
    assert pipeline.ask("sales", "SELECT needs_attention FROM orders WHERE id = :id", id=killer) == [(False,)]
