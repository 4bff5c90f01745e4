"""A pipeline of real processes for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from conveyor.embedded.valkey import Valkey
from tests.integration.pipeline.processes import Pipeline


@pytest.fixture
def variables() -> dict[str, str]:
    """What the processes of a pipeline are told beside its servers; a module may have a fixture of its own."""
    return {}


@pytest.fixture
def pipeline(
    sales_sessions: sessionmaker[Session],
    inventory_sessions: sessionmaker[Session],
    delivery_sessions: sessionmaker[Session],
    broker: str,
    valkey: Valkey,
    variables: dict[str, str],
    tmp_path: Path,
) -> Iterator[Pipeline]:
    sessions = {"sales": sales_sessions, "inventory": inventory_sessions, "delivery": delivery_sessions}
    servers = {"CONVEYOR_BROKER_URL": broker, "CONVEYOR_REDIS_URL": valkey.url()}
    pipeline = Pipeline(sessions, {**servers, **variables}, tmp_path)
    yield pipeline
    pipeline.stop()
