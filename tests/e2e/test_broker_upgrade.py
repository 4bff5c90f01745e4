"""After an upgrade RabbitMQ finds data that it cannot go on with: every order ends all the same."""

import signal
from pathlib import Path

import pytest
import urllib3

from conveyor.embedded import rabbitmq
from conveyor.embedded.rabbitmq_upgrade import version_of
from tests.e2e.shop import Shop
from tests.e2e.stack import Stack

pytestmark = pytest.mark.rabbitmq


def test_orders_that_waited_in_the_old_brokers_queues_end_on_the_new_one(
    rabbitmq_installed: None, tmp_path: Path
) -> None:
    soon = {"quiet_after": "5", "saga_deadline": "2", "sweep_every": "0.5"}
    stack = Stack(tmp_path / "upgraded", embedded_broker="rabbitmq", **soon)
    try:
        stack.start()
        with urllib3.PoolManager(timeout=20) as pool:
            shop = Shop(stack, pool)
            product = shop.add_product(stock=20)
            shop.becomes(shop.place(product)["id"], "Pending Shipment")
            stack.signal("worker-inventory", signal.SIGSTOP)
            waiting = [shop.place(product)["id"] for _ in range(6)]
            assert stack.stop() == 0
            _write_flags_of_another_release(stack.state / "rabbitmq" / "data")
            before = len(stack.said())
            stack.start()
            assert "set aside in" in stack.said()[before:]
            for each in waiting:
                shop.becomes(each, "Pending Shipment", seconds=90)
            assert not any(each["needs_attention"] for each in shop.orders())
            assert shop.stock(product) == 13
        assert stack.conveyor("reconcile", "--settled").returncode == 0
        assert stack.stop() == 0
    finally:
        stack.clean_up()


def _write_flags_of_another_release(data: Path) -> None:
    """As if a RabbitMQ had written it that the one here cannot follow: an older one, or for an old one a newer."""
    running = version_of(rabbitmq.scripts())
    assert running is not None
    [flags] = data.glob("*-feature_flags")
    flags.write_text("[quorum_queue,stream_queue]." if running >= (3, 12) else "['rabbitmq_4.0.0',message_containers].")
