"""Servers that go away under load: orders wait, and finish when the server is back."""

import pytest

from chassis.database import transaction
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from tests.integration.pipeline.processes import Pipeline

pytestmark = pytest.mark.rabbitmq

#: A step that stands in the middle of its transaction for a while.
SLOW = """
from inventory import service
from sqlalchemy import text
reserve = service.reserve_stock
def reserve_slowly(session, orders):
    answers = reserve(session, orders)
    session.execute(text("SELECT pg_sleep(1)"))
    return answers
service.reserve_stock = reserve_slowly
"""


def dead_letters(pipeline: Pipeline, rabbitmq: RabbitMQ) -> int:
    vhost = pipeline.environment["CONVEYOR_BROKER_URL"].rsplit("/", 1)[1]
    listed = rabbitmq.rabbitmqctl("-q", "list_queues", "-p", vhost, "name", "messages", "--no-table-headers")
    depths = dict(line.split("\t") for line in listed.splitlines() if "\t" in line)
    return sum(int(depth) for name, depth in depths.items() if name.endswith(".dead"))


def test_orders_that_are_placed_while_the_broker_is_down_finish_when_it_is_back(
    pipeline: Pipeline, rabbitmq: RabbitMQ
) -> None:
    product = pipeline.add_product(stock=100)
    pipeline.start_all()
    orders = [pipeline.place(product) for _ in range(3)]
    rabbitmq.rabbitmqctl("stop_app")
    try:
        orders += [pipeline.place(product) for _ in range(3)]
        assert pipeline.statuses(orders).get("Pending", 0) >= 3
    finally:
        rabbitmq.rabbitmqctl("start_app")
    pipeline.wait_for(orders, seconds=90, Pending_Shipment=6)
    assert pipeline.taken(product) == 6
    assert dead_letters(pipeline, rabbitmq) == 0


def test_a_database_that_restarts_under_a_bundle_dead_letters_nothing(
    pipeline: Pipeline, postgres: Postgres, rabbitmq: RabbitMQ
) -> None:
    product = pipeline.add_product(stock=100)
    pipeline.start_all(worker_inventory=SLOW)
    orders = [pipeline.place(product) for _ in range(4)]
    pipeline.wait_for_reservation_under_way()
    postgres.restart()
    for sessions in pipeline.sessions.values():
        sessions.kw["bind"].dispose()
    with transaction(pipeline.sessions["sales"]):
        pass
    pipeline.wait_for(orders, seconds=90, Pending_Shipment=4)
    assert pipeline.taken(product) == 4
    assert dead_letters(pipeline, rabbitmq) == 0
