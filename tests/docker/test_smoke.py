"""The image, run as a worker among containers: it takes inventory's queues and does inventory's work."""

import time

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from celeryconfig import QUEUE_OF_TASK, queues_of
from tasks.app import app
from tasks.publisher import Outgoing, Publisher

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::ResourceWarning:docker")]


def until(finds, seconds=30):
    """What this finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := finds()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.2)
    return found


def test_a_worker_of_inventory_is_ready_takes_the_queues_of_inventory_and_knows_its_tasks(celery_setup):
    ready = ["sh", "-c", "find /tmp/ready -mmin -0.5 | grep -q ."]
    assert until(lambda: celery_setup.worker.container.exec_run(ready).exit_code == 0)
    inspect = celery_setup.app.control.inspect(timeout=5)
    [queues] = until(inspect.active_queues).values()
    [tasks] = until(inspect.registered).values()
    assert sorted(each["name"] for each in queues) == queues_of("inventory")
    assert {each for each in tasks if not each.startswith("celery.")} == {
        task for task in QUEUE_OF_TASK if task.startswith("inventory.")
    }


def test_an_order_sent_twice_takes_its_stock_once_and_goes_on_twice(celery_setup, inventory_database):
    product, order = str(uuid7()), str(uuid7())
    with inventory_database.begin() as connection:
        connection.execute(
            text("INSERT INTO products (id, sku, name, price, stock_quantity) VALUES (:id, :id, 'Lamp', 24.90, 5)"),
            {"id": product},
        )
    bundle = [{"order_id": order, "kind": "place", "no": 0, "lines": [{"product_id": product, "quantity": 2}]}]
    onward = {"task": "delivery.create_delivery", "args": [], "kwargs": {}, "options": {}, "immutable": False}
    publisher = Publisher(app, celery_setup.app.conf.broker_url)
    try:
        publisher.publish([Outgoing("inventory.reserve_stock", bundle, [onward])])
        publisher.publish([Outgoing("inventory.reserve_stock", bundle, [onward])])
    finally:
        publisher.close()

    def handed_over():
        with inventory_database.connect() as connection:
            rows = connection.execute(text("SELECT task, bundle FROM outbox ORDER BY id")).all()
        return rows if len(rows) == 2 else None

    for task, orders in until(handed_over):
        assert (task, orders[0]["order_id"], orders[0]["outcome"]) == ("delivery.create_delivery", order, "ok")
    with inventory_database.connect() as connection:
        assert connection.execute(text("SELECT stock_quantity FROM products")).scalar_one() == 3
