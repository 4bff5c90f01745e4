"""The tasks of the inventory worker, as Celery calls them, on a real database; no broker is needed for that."""

import pytest
from sqlalchemy import select
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import outbox
from tasks import inventory as worker

NEXT = {"task": "sales.update_order_status", "args": [], "kwargs": {}, "options": {}, "subtask_type": None}


@pytest.fixture
def work(inventory_sessions):
    """Works on a message with these orders; returns what goes on to the next link."""

    def run(task, *orders):
        task.push_request(id=str(uuid7()), chain=[NEXT], delivery_info={"redelivered": False})
        try:
            task.run(list(orders))
        finally:
            task.pop_request()
        with transaction(inventory_sessions) as session:
            return list(session.execute(select(outbox.c.bundle).order_by(outbox.c.id.desc()).limit(1)).scalar_one())

    return run


def test_an_order_is_checked_reserved_and_released(work, warehouse):
    sku = uuid7().hex
    lamp = warehouse.product(5, sku=sku)
    order_id = warehouse.order((lamp, 3))
    order = {"order_id": str(order_id), "kind": "place", "no": 1, "correlation_id": "c-1", "address": "Lyon"}
    lines = [{"product_id": str(lamp), "quantity": 3}]

    [checked] = work(worker.check_availability, {**order, "lines": lines})
    catalogue = [{"product_id": str(lamp), "sku": sku, "name": "Lamp", "price": "24.90"}]
    assert checked == {**order, "lines": lines, "outcome": "ok", "catalogue": catalogue}

    [reserved] = work(worker.reserve_stock, {**order, "lines": lines})
    assert reserved == {**order, "outcome": "ok"}
    assert warehouse.stock(lamp) == 2

    cancel = {"order_id": str(order_id), "kind": "cancel", "no": 1, "correlation_id": "c-1"}
    assert work(worker.release_stock, cancel) == [{**cancel, "outcome": "ok"}]
    assert warehouse.stock(lamp) == 5
    warehouse.audit()


def test_what_refused_an_order_travels_on_with_it(work, warehouse):
    sku = uuid7().hex
    lamp = warehouse.product(1, sku=sku)
    lines = [{"product_id": str(lamp), "quantity": 2}]
    order = {"order_id": str(warehouse.order((lamp, 2))), "kind": "place", "no": 1}
    refusal = {
        "outcome": "refused",
        "reason": "insufficient_stock",
        "detail": f"Lamp ({sku}): 2 wanted, 1 in stock.",
    }
    catalogue = [{"product_id": str(lamp), "sku": sku, "name": "Lamp", "price": "24.90"}]
    refused = {**order, "lines": lines, "catalogue": catalogue, **refusal}
    assert work(worker.check_availability, {**order, "lines": lines}) == [refused]
    assert work(worker.reserve_stock, {**order, "lines": lines}) == [{**order, **refusal}]


def test_two_cancels_of_an_order_in_one_bundle_are_both_answered(work, warehouse):
    lamp = warehouse.product(5)
    order_id = warehouse.order((lamp, 3))
    warehouse.reserve(order_id)
    first, late = ({"order_id": str(order_id), "kind": "cancel", "no": no} for no in (1, 2))
    assert work(worker.release_stock, first, late) == [{**first, "outcome": "ok"}, {**late, "outcome": "ok"}]
    warehouse.audit()
