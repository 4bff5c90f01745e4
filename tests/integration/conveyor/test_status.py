"""`conveyor status` on real databases and a real broker."""

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from kombu import Connection

from conveyor.cli import cli
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from conveyor.status import look_at
from tasks.topology import declare
from tests.integration.pipeline.processes import wait_until


def test_orders_outboxes_and_the_quarantine_are_counted(shop: Any) -> None:
    shop.sql("sales", "UPDATE orders SET needs_attention = true WHERE id = '{pending}'")
    shop.sql("sales", "INSERT INTO quarantine VALUES ('m', NULL, 'q', NULL, '[]', '[]', 'boom')")
    shop.sql(
        "delivery",
        "INSERT INTO outbox (task, links, bundle, created_at) VALUES ('x', '[]', '[]', now() - interval '90 s')",
    )
    # Nobody answers on the discard port; on the gateway's usual one somebody's own stack may.
    seen = look_at(replace(shop.settings, gateway_url="http://127.0.0.1:9"))
    assert seen.orders == {
        "Cancelled": 2,
        "Cancelling": 1,
        "Delivered": 1,
        "Delivery Failed": 1,
        "In Transit": 2,
        "Pending": 3,
        "Pending Shipment": 2,
        "Rejected": 2,
    }
    assert (seen.needs_attention, seen.quarantine) == (1, 1)
    assert seen.outboxes["sales"] == {"rows": 0, "oldest_seconds": None}
    assert seen.outboxes["delivery"]["rows"] == 1
    assert 90 <= (seen.outboxes["delivery"]["oldest_seconds"] or 0) < 100
    assert set(seen.down) == {"gateway", "broker"}


@pytest.mark.rabbitmq
def test_messages_that_wait_and_dead_ones_are_counted(shop: Any, rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url()) as connection:
        declare(connection)
        for queue in ("delivery_queue", "delivery_queue.dead", "delivery_queue.dead"):
            connection.Producer().publish("x", routing_key=queue, exchange="", retry=False)
        asked = replace(shop.settings, broker_url=rabbitmq.url())
        # A message counts once its queue has written it down, which may be after it was sent.
        wait_until(lambda: look_at(asked).queues["delivery_queue"] == {"waiting": 1, "dead": 2}, 30)
        seen = look_at(asked)
        for queue in ("delivery_queue", "delivery_queue.dead"):
            connection.default_channel.queue_purge(queue)
        assert seen.queues["order_status_queue"] == {"waiting": 0, "dead": 0}
        connection.default_channel.queue_delete("order_status_queue.dead")
        seen = look_at(replace(shop.settings, broker_url=rabbitmq.url()))
        declare(connection)
    assert seen.queues["order_status_queue"] == {"waiting": 0, "dead": None}
    assert "order_status_queue.dead" in seen.down["queues"]


def test_the_stand_in_broker_has_depths_and_no_dead_letters(shop: Any, valkey: Valkey) -> None:
    client = valkey.client()
    client.lpush("delivery_queue", "x")
    try:
        seen = look_at(replace(shop.settings, broker_url=valkey.url()))
    finally:
        client.delete("delivery_queue")
        client.close()
    assert seen.queues["delivery_queue"] == {"waiting": 1, "dead": None}
    assert "broker" not in seen.down


def test_the_command_shows_what_it_can(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_URL", shop.settings.sales_database_url)
    result = CliRunner().invoke(cli, ["status"])
    assert "  Pending Shipment                  2" in result.output.splitlines()
    assert "DOWN  inventory database: CONVEYOR_INVENTORY_DATABASE_URL is not set" in result.output
    assert result.exit_code == 1
    assert json.loads(CliRunner().invoke(cli, ["status", "--json"]).output)["orders"]["Pending"] == 3
