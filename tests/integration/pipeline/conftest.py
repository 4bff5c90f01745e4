"""A pipeline of real processes for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tasks import topology
from tests.integration.pipeline.processes import Pipeline


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[str]:
    name = f"test-{uuid7().hex}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection:
        topology.declare(connection)
    yield url
    rabbitmq.remove_vhost(name)


@pytest.fixture
def pipeline(
    sales_sessions: sessionmaker[Session],
    inventory_sessions: sessionmaker[Session],
    delivery_sessions: sessionmaker[Session],
    broker: str,
    valkey: Valkey,
    tmp_path: Path,
) -> Iterator[Pipeline]:
    sessions = {"sales": sales_sessions, "inventory": inventory_sessions, "delivery": delivery_sessions}
    pipeline = Pipeline(sessions, {"CONVEYOR_BROKER_URL": broker, "CONVEYOR_REDIS_URL": valkey.url()}, tmp_path)
    yield pipeline
    pipeline.stop()
