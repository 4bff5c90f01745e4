"""Messages that nobody can work on: they block no queue, harm no neighbour, and wait where people find them."""

from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import queries
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.strange import message_to, strange_messages

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


def test_an_unknown_task_and_a_step_for_nobodys_order_wait_with_what_they_are_and_why(pipeline: Pipeline) -> None:
    """So does what is no order at all; an innocent one beside it in the bundle finishes."""
    product, nobody = pipeline.add_product(stock=10), uuid7()
    innocent = pipeline.place(product)
    [(bundle, links)] = pipeline.ask("sales", "DELETE FROM outbox RETURNING bundle, links")
    pipeline.publish(CHECK_QUEUE, message_to("inventory.check_availability", 7, *bundle, links=links))  # type: ignore[misc,arg-type]
    pipeline.start_all()
    pipeline.start("quarantine", "run")
    order = pipeline.place(product)
    pipeline.wait_for([order], Pending_Shipment=1)
    about_nobody = {"order_id": str(nobody), "no": 1, "outcome": "ok", "catalogue": []}
    kinds = ("place", "cancel", "move", "report", "delivery")
    updates = [message_to("sales.update_order_status", {**about_nobody, "kind": each}) for each in kinds]
    recording = message_to("sales.record_inventory_response", {**about_nobody, "kind": "place"})
    pipeline.publish(CHECK_QUEUE, message_to("inventory.unheard_of", {"order_id": str(order)}))
    pipeline.publish("inventory_response_queue", recording)
    pipeline.publish("order_status_queue", *updates)
    after = pipeline.place(product)
    pipeline.wait_for([innocent, after], Pending_Shipment=2)

    wait_until(lambda: pipeline.ask("sales", "SELECT count(*) FROM quarantine") == [(8,)], seconds=30)

    kept = set(pipeline.ask("sales", "SELECT order_id, queue, task, reason FROM quarantine"))
    why = f"LookupError: there is no order {nobody}"
    unheard_of = f"dead-lettered in {CHECK_QUEUE}: rejected by its worker: there is no task inventory.unheard_of"
    no_order = "AttributeError: 'int' object has no attribute 'get'"
    assert kept == {
        (None, CHECK_QUEUE, "inventory.check_availability", no_order),
        (order, CHECK_QUEUE, "inventory.unheard_of", unheard_of),
        (nobody, "inventory_response_queue", "sales.record_inventory_response", why),
        (nobody, "order_status_queue", "sales.update_order_status", why),
    }
    with transaction(pipeline.sessions["sales"]) as session:
        shown = queries.order_with_items(session, order)
    assert (shown["needs_attention"], shown["attention"].code) == (True, "dead_lettered")


#: A step that always raises for an order whose correlation id names it, until somebody mends it.
BAD_STEP = """
import os, tasks.step
perform = tasks.step._perform
def perform_unless_bad(session, message, *more, **options):
    bad = any(each.get("correlation_id") == message.task for each in message.bundle)
    if bad and not os.path.exists({mended!r}):
        raise ValueError("a bad order")
    return perform(session, message, *more, **options)
tasks.step._perform = perform_unless_bad
"""
PLACE = (
    "inventory.check_availability",
    "sales.record_inventory_response",
    "inventory.reserve_stock",
    "delivery.create_delivery",
    "sales.update_order_status",
)
CANCEL = ("delivery.cancel_delivery", "inventory.release_stock", "sales.update_order_status")


def test_an_order_at_which_a_step_always_raises_waits_alone_and_finishes_when_the_step_is_mended(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    patch = BAD_STEP.format(mended=str(mended))
    product = pipeline.add_product(stock=100)
    to_cancel = [pipeline.place(product) for _ in (*CANCEL, "good")]
    bad = {pipeline.place(product, correlation_id=task): task for task in PLACE}
    good = [pipeline.place(product) for _ in range(10)]
    pipeline.start_all(worker_sales=patch, worker_inventory=patch, worker_delivery=patch)
    pipeline.wait_for([*to_cancel, *good], Pending_Shipment=14)
    for order, task in zip(to_cancel, (*CANCEL, "good"), strict=True):
        pipeline.cancel(order, correlation_id=task)
    bad |= dict(zip(to_cancel, CANCEL, strict=False))

    wait_until(lambda: pipeline.flagged(list(bad)) == 8)
    pipeline.wait_for(to_cancel, Cancelling=3, Cancelled=1)
    kept: dict[UUID, str] = dict(pipeline.ask("sales", "SELECT order_id, task FROM quarantine"))  # type: ignore[arg-type]
    assert kept == bad
    assert pipeline.ask("sales", "SELECT DISTINCT reason, count FROM quarantine") == [("ValueError: a bad order", 3)]

    mended.touch()
    pipeline.replay_all()
    pipeline.wait_for([each for each in bad if each not in to_cancel], Pending_Shipment=5)
    pipeline.wait_for(to_cancel, Cancelled=4)
    assert (pipeline.flagged(list(bad)), pipeline.taken(product)) == (0, 15)
