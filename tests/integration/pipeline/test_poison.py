"""Messages that nobody can work on: they block no queue, harm no neighbour, and wait where people find them."""

import pytest

from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.strange import strange_messages

pytestmark = pytest.mark.rabbitmq

CHECK_QUEUE = "inventory_check_queue"


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    pipeline.ask("sales", "DELETE FROM quarantine RETURNING 1")
    return pipeline


def test_no_message_that_cannot_be_read_ends_a_worker_blocks_a_queue_or_disappears(pipeline: Pipeline) -> None:
    strange = strange_messages()
    product = pipeline.add_product(stock=10)
    pipeline.start_all()
    pipeline.start("quarantine", "run")
    pipeline.publish(CHECK_QUEUE, *strange)
    order = pipeline.place(product)
    pipeline.wait_for([order], Pending_Shipment=1)

    wait_until(lambda: pipeline.ask("sales", "SELECT count(*) FROM quarantine") == [(len(strange),)], seconds=30)

    kept = pipeline.ask(
        "sales",
        "SELECT DISTINCT queue, state, count IN (1, 3), body IS NULL, headers IS NULL, reason = '',"
        " first_seen > last_seen FROM quarantine",
    )
    assert kept == [(CHECK_QUEUE, "waiting", True, False, False, False, False)]
    assert not [name for name in pipeline.running if pipeline.dead(name)]
