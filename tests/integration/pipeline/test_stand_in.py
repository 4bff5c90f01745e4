"""With a Valkey as the broker: what is lost there, and who finishes the order."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session, sessionmaker

from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from tests.integration.pipeline.processes import Pipeline, wait_until


@pytest.fixture
def pipeline(
    sales_sessions: sessionmaker[Session],
    inventory_sessions: sessionmaker[Session],
    delivery_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> Iterator[Pipeline]:
    server = Valkey(tmp_path / "valkey", free_port()).start()
    sessions = {"sales": sales_sessions, "inventory": inventory_sessions, "delivery": delivery_sessions}
    soon = {"SAGA_DEADLINE": "0.5", "QUIET_AFTER": "0.5", "SWEEP_EVERY": "0.2"}
    environment = {f"CONVEYOR_{name}": value for name, value in soon.items()}
    environment |= {"CONVEYOR_BROKER_URL": server.url(1), "CONVEYOR_REDIS_URL": server.url()}
    pipeline = Pipeline(sessions, environment, tmp_path)
    command = [sys.executable, "-m", "conveyor", "topology"]
    subprocess.run(command, env=pipeline.environment, check=True, stdout=subprocess.DEVNULL)
    yield pipeline
    pipeline.stop()
    server.stop()


def test_a_message_that_cannot_be_read_is_lost_and_its_order_is_finished_by_the_sweeper(pipeline: Pipeline) -> None:
    """What is lost is the message, whole; there are no dead letters here, so nothing of it is in the quarantine."""
    pipeline.ask("sales", "DELETE FROM quarantine RETURNING 1")
    product = pipeline.add_product(stock=5)
    pipeline.start("relay", "sales")
    order = pipeline.place(product, quantity=2)
    broker = redis.Redis.from_url(pipeline.environment["CONVEYOR_BROKER_URL"])
    queue = "inventory_check_queue"
    wait_until(lambda: broker.llen(queue) == 1)
    spoilt = json.loads(broker.rpop(queue))  # type: ignore[arg-type]
    spoilt["body"] = base64.b64encode(b"{not json").decode()
    broker.lpush(queue, json.dumps(spoilt))
    for kind, service in (("worker", "sales"), ("worker", "inventory"), ("worker", "delivery")):
        pipeline.start(kind, service, wait=False)
    for kind, service in (("relay", "inventory"), ("relay", "delivery"), ("sweeper", "")):
        pipeline.start(kind, service, wait=False)
    pipeline.wait_for([order], Pending_Shipment=1)
    assert pipeline.taken(product) == 2
    assert not [name for name in pipeline.running if pipeline.dead(name)]
    assert pipeline.ask("sales", "SELECT count(*) FROM quarantine") == [(0,)]
    assert pipeline.flagged([order]) == 0
    assert "unreadable_message" in (pipeline.folder / "worker-inventory.log").read_text()
    broker.close()


#: The step stands for ever, and its message may be given to another after five seconds.
STANDS = """
import celeryconfig
celeryconfig.broker_transport_options["visibility_timeout"] = 5
import threading
from inventory import service
service.check_availability = lambda *_: threading.Event().wait()
"""
SOON = """
import celeryconfig
celeryconfig.broker_transport_options["visibility_timeout"] = 5
"""
#: Seconds between two looks for such messages, without the tenth of them that are left out by default.
LOOKS_EVERY = 10


def test_a_killed_workers_message_is_back_soon_after_the_time_for_which_it_was_hidden(pipeline: Pipeline) -> None:
    pipeline.start("relay", "sales")
    pipeline.start("worker", "inventory", STANDS)
    order = pipeline.place(pipeline.add_product(stock=5))
    broker = redis.Redis.from_url(pipeline.environment["CONVEYOR_BROKER_URL"])
    wait_until(lambda: broker.zcard("unacked_index") == 1)
    broker.close()
    pipeline.kill("worker-inventory")
    pipeline.start("worker", "inventory", SOON)
    taken = "inventory.check_availability"
    log = pipeline.folder / "worker-inventory.log"
    wait_until(lambda: taken in log.read_text() and str(order) in log.read_text(), 5 + 2 * LOOKS_EVERY)
