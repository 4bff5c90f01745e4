"""`conveyor status` on real databases and a real broker."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from kombu import Connection, Queue
from sqlalchemy import text

from celeryconfig import task_queues
from chassis.settings import settings
from conveyor.cli import cli
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.server import Server
from conveyor.embedded.valkey import Valkey
from conveyor.status import Status, look_at
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
    assert set(seen.down) == {"gateway", "broker", "redis"}


@pytest.mark.rabbitmq
def test_messages_that_wait_and_dead_ones_are_counted(shop: Any, rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url()) as connection:
        declare(connection)
        for queue in ("delivery_queue", "delivery_queue.dead", "delivery_queue.dead"):
            connection.Producer().publish("x", routing_key=queue, exchange="", retry=False)
        asked = replace(shop.settings, broker_url=rabbitmq.url())
        # A message counts once its queue has written it down, which may be after it was sent.
        wait_until(lambda: look_at(asked).queues["delivery_queue"] == {"waiting": 1, "dead": 2, "workers": 0}, 30)
        seen = look_at(asked)
        for queue in ("delivery_queue", "delivery_queue.dead"):
            connection.default_channel.queue_purge(queue)
        assert seen.queues["order_status_queue"] == {"waiting": 0, "dead": 0, "workers": 0}
        connection.default_channel.queue_delete("order_status_queue.dead")
        seen = look_at(replace(shop.settings, broker_url=rabbitmq.url()))
        declare(connection)
    assert seen.queues["order_status_queue"] == {"waiting": 0, "dead": None, "workers": 0}
    assert "order_status_queue.dead" in seen.down["queues"]


@pytest.mark.rabbitmq
def test_messages_that_no_worker_consumes_are_told(shop: Any, rabbitmq: RabbitMQ) -> None:
    url = rabbitmq.add_vhost("nobody-works")
    with Connection(url) as connection:
        declare(connection)
        asked = replace(shop.settings, broker_url=url)
        assert "queues" not in look_at(asked).down
        connection.Producer().publish("x", routing_key="delivery_queue", exchange="", retry=False)
        wait_until(lambda: look_at(asked).queues["delivery_queue"]["waiting"] == 1, 30)
        said = look_at(asked).down["queues"]
        assert said == "messages wait, and no worker consumes them: delivery_queue"
        with connection.channel() as channel:
            channel.basic_qos(0, 1, False)
            channel.basic_consume("delivery_queue", callback=lambda _message: None)
            channel.basic_consume("order_status_queue", callback=lambda _message: None)
            seen = look_at(asked)
        assert seen.queues["order_status_queue"]["workers"] == 1
        assert "queues" not in seen.down
    rabbitmq.remove_vhost("nobody-works")


@pytest.mark.rabbitmq
def test_an_alarm_of_the_broker_is_told_and_is_a_failure(
    shop: Any, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVEYOR_BROKER_URL", rabbitmq.url())
    asked = replace(shop.settings, broker_url=rabbitmq.url())
    with Connection(rabbitmq.url()) as connection:
        declare(connection)
    assert "broker" not in look_at(asked).down
    rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.00000001")
    try:
        result = CliRunner().invoke(cli, ["status"])
    finally:
        rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB")
    assert "DOWN  broker: RabbitMQ has an alarm and takes no messages" in result.output
    assert result.exit_code == 1
    assert "broker" not in look_at(asked).down


def test_the_stand_in_broker_has_depths_and_no_dead_letters(shop: Any, valkey: Valkey) -> None:
    client = valkey.client()
    client.lpush("delivery_queue", "x")
    try:
        seen = look_at(replace(shop.settings, broker_url=valkey.url()))
    finally:
        client.delete("delivery_queue")
        client.close()
    assert seen.queues["delivery_queue"] == {"waiting": 1, "dead": None, "workers": None}
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


#: Seconds in which `conveyor status` has said what it has to say, whatever happens.
FEW = 8.0


@contextmanager
def silent(server: Server) -> Iterator[None]:
    """A server with all its processes stands still; connections to it are still taken, by the kernel."""
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def look_soon(settings: Any) -> Status:
    begun = time.monotonic()
    seen = look_at(settings)
    assert time.monotonic() - begun < FEW
    return seen


def test_databases_that_say_nothing_hide_no_other_source(shop: Any, postgres: Postgres, valkey: Valkey) -> None:
    asked = replace(shop.settings, broker_url=valkey.url(), redis_url=valkey.url())
    with silent(postgres):
        seen = look_soon(asked)
    assert {"sales database", "inventory database", "delivery database"} <= set(seen.down)
    assert not {"broker", "redis"} & set(seen.down)
    assert seen.queues
    assert look_soon(asked).orders is not None


def test_a_table_that_somebody_locks_is_named_and_keeps_nobody(shop: Any) -> None:
    with shop.sessions["sales"]() as session:
        session.execute(text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"))
        seen = look_soon(shop.settings)
    assert "statement timeout" in seen.down["sales database"]
    assert seen.outboxes.keys() == {"inventory", "delivery"}


def test_a_stand_in_broker_and_a_redis_that_say_nothing_are_named(shop: Any, valkey: Valkey) -> None:
    with silent(valkey):
        seen = look_soon(replace(shop.settings, broker_url=valkey.url(), redis_url=valkey.url()))
    assert {"broker", "redis"} <= set(seen.down)
    assert seen.orders is not None


def test_a_redis_that_is_away_is_named_however_it_is_away(shop: Any, valkey: Valkey) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        silent_port = listening.getsockname()[1]
        urls = {
            "": "CONVEYOR_REDIS_URL is not set",
            "redis://127.0.0.1:9/0": "Redis cannot be asked: ",
            "redis://no-such-host.invalid:6379/0": "Redis cannot be asked: ",
            f"redis://127.0.0.1:{valkey.port}/0": "CONVEYOR_REDIS_URL: Redis at ",
            f"redis://:no@127.0.0.1:{valkey.port}/0": "CONVEYOR_REDIS_URL: Redis at ",
            valkey.url().removesuffix("/0") + "/4711": "Redis cannot be asked: ",
            f"redis://127.0.0.1:{shop.postgres.port}/0": "Redis cannot be asked: ",
            f"rediss://127.0.0.1:{valkey.port}/0": "Redis cannot be asked: ",
            f"redis://127.0.0.1:{silent_port}/0": "",
        }
        for url, said in urls.items():
            seen = look_soon(replace(shop.settings, redis_url=url))
            assert seen.down["redis"].startswith(said), url
            assert seen.down["redis"], url
            assert seen.orders is not None
    assert "redis" not in look_soon(replace(shop.settings, redis_url=valkey.url())).down


@pytest.mark.rabbitmq
def test_a_broker_that_says_nothing_is_named(shop: Any, rabbitmq: RabbitMQ) -> None:
    with silent(rabbitmq):
        seen = look_soon(replace(shop.settings, broker_url=rabbitmq.url()))
    assert "broker" in seen.down
    assert seen.orders is not None


def test_a_gateway_that_says_nothing_is_named(shop: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        seen = look_soon(replace(shop.settings, gateway_url=url))
    assert "gateway" in seen.down
    assert seen.orders is not None


@pytest.mark.rabbitmq
def test_a_queue_with_other_arguments_is_one_line_with_what_to_do(
    shop: Any, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = rabbitmq.add_vhost("other-arguments")
    ours = next(queue for queue in task_queues if queue.name == "delivery_queue")
    other = {**ours.queue_arguments, "x-dead-letter-exchange": "elsewhere"}
    with Connection(url) as connection:
        Queue("delivery_queue", durable=True, queue_arguments=other)(connection.channel()).declare()
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVEYOR_BROKER_URL", url)
    settings.cache_clear()
    result = CliRunner().invoke(cli, ["topology"])
    said = str(result.exception)
    assert said.startswith(
        "queue delivery_queue is there with x-dead-letter-exchange elsewhere, and Conveyor needs conveyor_dead: "
    )
    look, remove = re.findall(r"`rabbitmqctl ([^`]+)`", said)
    assert len(said.splitlines()) == 1
    seen = look_at(replace(shop.settings, broker_url=url))
    # All others were declared all the same.
    assert seen.down["queues"] == said
    assert "delivery_queue\t0" in rabbitmq.rabbitmqctl(*look.split())
    rabbitmq.rabbitmqctl(*remove.split())
    assert CliRunner().invoke(cli, ["topology"]).exit_code == 0
    assert "queues" not in look_at(replace(shop.settings, broker_url=url)).down
    rabbitmq.remove_vhost("other-arguments")
    settings.cache_clear()
