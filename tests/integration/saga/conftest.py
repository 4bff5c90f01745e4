"""A world of three services for each test."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.integration.saga.paper_broker import World


@pytest.fixture
def world(
    sales_sessions: sessionmaker[Session],
    inventory_sessions: sessionmaker[Session],
    delivery_sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    sessions = {"sales": sales_sessions, "inventory": inventory_sessions, "delivery": delivery_sessions}
    monkeypatch.setattr("tasks.step.sessions_of", sessions.__getitem__)
    return World(sessions)
