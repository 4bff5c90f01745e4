"""A virtual host for each test that wants a broker."""

from collections.abc import Iterator

import pytest
from kombu import Connection
from uuid_utils.compat import uuid7

from conveyor.embedded.rabbitmq import RabbitMQ
from tasks import topology


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The URL of a virtual host of the test's own, with the topology declared."""
    name = f"test-{uuid7().hex}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection:
        topology.declare(connection)
    yield url
    rabbitmq.remove_vhost(name)
