"""A pipeline of real processes for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from conveyor.embedded.valkey import Valkey
from tests.integration.pipeline.processes import Pipeline


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
