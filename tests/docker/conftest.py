"""pytest-celery's containers, with our image as the worker: RabbitMQ, Redis, PostgreSQL and one worker of inventory.

The plugin stays switched off everywhere else (``-p no:celery``: its fixtures have the names of celery.contrib's); here
its fixtures are imported one by one.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from pytest_celery import (  # noqa: F401
    CeleryTestWorker,
    CeleryWorkerContainer,
    celery_backend_cluster,
    celery_backend_cluster_config,
    celery_broker_cluster,
    celery_broker_cluster_config,
    celery_rabbitmq_broker,
    celery_redis_backend,
    celery_setup,
    celery_setup_app,
    celery_setup_cls,
    celery_setup_name,
    celery_setup_worker,
    celery_worker_cluster,
    celery_worker_cluster_config,
    default_pytest_celery_network,
    default_rabbitmq_broker,
    default_rabbitmq_broker_cls,
    default_rabbitmq_broker_env,
    default_rabbitmq_broker_ports,
    default_redis_backend,
    default_redis_backend_cls,
    default_redis_backend_command,
    default_redis_backend_env,
    default_redis_backend_ports,
    default_worker_app,
    default_worker_cls,
    default_worker_container_cls,
)
from pytest_docker_tools import build, container, fxtr
from pytest_docker_tools.wrappers import Container
from ruamel.yaml import YAML
from sqlalchemy import create_engine, make_url

ROOT = Path(__file__).parents[2]
SERVICES = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
#: ``${POSTGRES_IMAGE:-postgres:17}`` is postgres:17 where the environment names no other.
IMAGES = {
    name: re.sub(r"\$\{(\w+):-(.+)\}", lambda found: os.environ.get(found[1], found[2]), each["image"])
    for name, each in SERVICES.items()
}
PASSWORD = "only-for-this-test"


def pytest_collection_modifyitems(items):
    here = [item for item in items if item.get_closest_marker("docker")]
    missing = _what_is_missing() if here else None
    for item in here if missing else []:
        item.add_marker(pytest.mark.skip(reason=missing))


def _what_is_missing():
    # Not by the library: a client that finds no engine leaves its socket behind, which is an error here.
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return "needs a Docker engine: `docker info` cannot be run"
    return "needs a Docker engine: `docker info` finds none" if answer.returncode else None


# ------------------------------------------------------------------ the image, and a database for it
conveyor_image = build(path=str(ROOT), tag="conveyor:test", network_mode=os.environ.get("BUILD_NETWORK", "default"))

postgres_container = container(
    image=IMAGES["postgres"],
    environment={
        "POSTGRES_PASSWORD": PASSWORD,
        **{f"{service}_DATABASE_PASSWORD": PASSWORD for service in ("SALES", "INVENTORY", "DELIVERY")},
    },
    volumes={
        str(ROOT / "migrations/create_databases.sh"): {
            "bind": "/docker-entrypoint-initdb.d/create_databases.sh",
            "mode": "ro",
        }
    },
    ports={"5432/tcp": None},
    network="{default_pytest_celery_network.name}",
    timeout=60,
    wrapper_class=lambda made: PostgresContainer(made),
)


class PostgresContainer(Container):
    """PostgreSQL with the three databases; ready when it answers over TCP, which is after they were created."""

    def ready(self):
        answer = self.exec_run(["pg_isready", "--host=127.0.0.1", "--username=postgres"])
        return answer.exit_code == 0 and super().ready()

    def url(self, host, port):
        return f"postgresql://inventory:{PASSWORD}@{host}:{port}/inventory_db"


@pytest.fixture
def settings_of_worker(celery_worker_cluster_config, postgres_container):  # noqa: F811
    """What the worker is told: the servers as they are known among the containers."""
    broker, backend = (celery_worker_cluster_config[f"celery_{each}_cluster_config"] for each in ("broker", "backend"))
    return {
        "CONVEYOR_INVENTORY_DATABASE_URL": postgres_container.url(postgres_container.attrs["Config"]["Hostname"], 5432),
        "CONVEYOR_BROKER_URL": broker["urls"][0],
        "CONVEYOR_REDIS_URL": backend["urls"][0],
        "CONVEYOR_INVENTORY_RELAY": "127.0.0.1:9",
    }


@pytest.fixture
def inventory_database(postgres_container):
    """Inventory's database, as it is reached from here."""
    url = make_url(postgres_container.url(*postgres_container.get_addr("5432/tcp")))
    engine = create_engine(url.set(drivername="postgresql+psycopg2"))
    yield engine
    engine.dispose()


# ------------------------------------------------------------------ the cluster: RabbitMQ, Redis, one worker
@pytest.fixture
def default_rabbitmq_broker_image():
    return IMAGES["rabbitmq"]


@pytest.fixture
def default_redis_backend_image():
    return IMAGES["redis"]


@pytest.fixture
def celery_broker(celery_rabbitmq_broker):  # noqa: F811
    return celery_rabbitmq_broker


@pytest.fixture
def celery_backend(celery_redis_backend):  # noqa: F811
    return celery_redis_backend


@pytest.fixture
def celery_worker(celery_setup_worker):  # noqa: F811
    return celery_setup_worker


@pytest.fixture
def celery_setup_config(celery_rabbitmq_broker, celery_redis_backend):  # noqa: F811
    """The servers as they are reached from here; the plugin says localhost even where the tests are in a container."""
    broker = celery_rabbitmq_broker.container.get_addr("5672/tcp")
    backend = celery_redis_backend.container.get_addr("6379/tcp")
    return {
        "broker_url": "amqp://guest:guest@{}:{}//".format(*broker),
        "result_backend": "redis://{}:{}/0".format(*backend),
    }


class InventoryWorker(CeleryWorkerContainer):
    """Our image, working on inventory's queues."""

    @classmethod
    def worker_name(cls):
        return "inventory"


@pytest.fixture
def default_worker_env(settings_of_worker, conveyor_image, docker_client, default_pytest_celery_network):  # noqa: F811
    """The worker's settings, on a database that is migrated and a broker that has the queues."""
    for command in (["migrate", "inventory"], ["topology"]):
        docker_client.containers.run(
            conveyor_image.id,
            command,
            environment=settings_of_worker,
            network=default_pytest_celery_network.name,
            remove=True,
        )
    return settings_of_worker


default_worker_container = container(
    image="{conveyor_image.id}",
    command=["worker", "inventory", "--name", InventoryWorker.worker_name()],
    environment=fxtr("default_worker_env"),
    network="{default_pytest_celery_network.name}",
    read_only=True,
    tmpfs={"/tmp": ""},
    wrapper_class=InventoryWorker,
    timeout=60,
)
