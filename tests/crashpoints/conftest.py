"""The system that the crash points are tried on: databases, a virtual host and processes of its own."""

from collections.abc import Iterator

import pytest
from kombu import Connection
from uuid_utils.compat import uuid7

from chassis.database import open_database
from chassis.migrations import migrate
from chassis.settings import settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tasks import topology
from tests.crashpoints.sweep import SERVICES, Sweep
from tests.integration.pipeline.processes import Pipeline


@pytest.fixture(scope="module")
def sweep(
    postgres: Postgres, valkey: Valkey, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sweep]:
    """A whole Conveyor, running."""
    name = f"crashpoints_{uuid7().hex}"
    ports = {each: free_port() for each in (*SERVICES, "gateway")}
    variables = {
        "CONVEYOR_BROKER_URL": rabbitmq.add_vhost(name),
        "CONVEYOR_REDIS_URL": valkey.url(),
        "CONVEYOR_SWEEP_EVERY": "0.3",
        # What a death has lost must not be mended by the sweeper before it is seen.
        "CONVEYOR_SAGA_DEADLINE": "600",
        # A gateway that died with a key in hand lets go of it after twice this, and not after half a minute.
        "CONVEYOR_UPSTREAM_TIMEOUT": "1",
        "CONVEYOR_UPSTREAM_CONNECT_TIMEOUT": "0.25",
        **{f"CONVEYOR_{each.upper()}_PORT": str(port) for each, port in ports.items()},
        **{f"CONVEYOR_{each.upper()}_URL": f"http://127.0.0.1:{port}" for each, port in ports.items()},
        **{f"CONVEYOR_{each.upper()}_RELAY": f"127.0.0.1:{free_port()}" for each in SERVICES},
    }
    for each in SERVICES:
        variables[f"CONVEYOR_{each.upper()}_DATABASE_URL"] = postgres.create_database(f"{name}_{each}", each)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        settings.cache_clear()
        for each in SERVICES:
            migrate(each)
        with Connection(variables["CONVEYOR_BROKER_URL"]) as connection:
            topology.declare(connection)
        sessions = {each: open_database(each, settings()) for each in SERVICES}
        pipeline = Pipeline(sessions, {}, tmp_path_factory.mktemp("crashpoints"))
        pipeline.environment |= {each: variables[each] for each in variables}
        swept = Sweep(pipeline, settings(), valkey)
        try:
            swept.start()
            yield swept
        finally:
            swept.kill_all()
            pipeline.stop()
    settings.cache_clear()
    for each in SERVICES:
        sessions[each].kw["bind"].dispose()
        postgres.drop_database(f"{name}_{each}")
    rabbitmq.remove_vhost(name)
