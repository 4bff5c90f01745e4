"""Delivery's app on the tests' database."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session, sessionmaker

from chassis.settings import Settings
from delivery.app import attach, create_app
from tests.integration.delivery.door import dispatch


@pytest.fixture
def app(delivery_sessions: sessionmaker[Session]) -> Flask:
    """The app on the tests' database."""
    app = create_app(Settings(delivery_database_url="postgresql://nobody@127.0.0.1:1/replaced"))
    attach(app, delivery_sessions)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the app."""
    return app.test_client()


@pytest.fixture
def delivery(client: FlaskClient) -> dict[str, Any]:
    """A pending delivery."""
    return dispatch(client)


@pytest.fixture
def another(client: FlaskClient) -> dict[str, Any]:
    """A second one."""
    return dispatch(client)
