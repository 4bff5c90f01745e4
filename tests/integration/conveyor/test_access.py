"""A server that does not let a process in is one line with the variable and what to do, and the end of the process."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey

Run = Callable[..., subprocess.CompletedProcess[str]]

#: What each command needs, by the variable that leads there.
NEEDS = {
    "relay sales": "database broker",
    "worker sales": "database broker redis",
    "worker sales --concurrency 2": "database broker redis",
    "quarantine run": "database broker",
    "sweeper": "database",
    "serve sales": "database redis",
    "serve gateway": "redis",
    "migrate sales": "database",
    "topology": "broker",
    "flower": "broker",
}


def commands(what: str) -> list[str]:
    return [command for command, needs in NEEDS.items() if what in needs.split()]


@pytest.fixture
def run(shop: Any, tmp_path: Any) -> Run:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    environment |= {
        "CONVEYOR_STATE_DIR": str(tmp_path),
        "CONVEYOR_SALES_DATABASE_URL": shop.settings.sales_database_url,
        "CONVEYOR_BROKER_URL": "amqp://127.0.0.1:9//",
        "CONVEYOR_PORT_BASE": "21400",
    }

    def run(command: str, **others: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "conveyor", *command.split()],
            env={**environment, **others},
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def refused(ended: subprocess.CompletedProcess[str], said: str) -> None:
    """It ended by itself, not well, and said so in one line; the master of a web process adds that it ended, too."""
    lines = (ended.stdout + ended.stderr).splitlines()
    assert ended.returncode == 1
    assert said in lines[0]
    assert not [line for line in lines[1:] if "web_process_ended" not in line]


@pytest.mark.rabbitmq
@pytest.mark.parametrize("command", commands("broker"))
def test_a_virtual_host_that_does_not_exist(run: Run, rabbitmq: RabbitMQ, command: str) -> None:
    url = urlsplit(rabbitmq.url())._replace(path="/nowhere").geturl()
    refused(
        run(command, CONVEYOR_BROKER_URL=url),
        f"CONVEYOR_BROKER_URL: at 127.0.0.1:{rabbitmq.port} there is no virtual host 'nowhere': "
        "`rabbitmqctl add_vhost nowhere`, or correct the URL",
    )


@pytest.mark.rabbitmq
@pytest.mark.parametrize("command", commands("broker"))
def test_a_broker_that_refuses_the_login(run: Run, rabbitmq: RabbitMQ, command: str) -> None:
    url = f"amqp://conveyor:no@127.0.0.1:{rabbitmq.port}/conveyor"
    refused(run(command, CONVEYOR_BROKER_URL=url), "'conveyor' may not log in: correct user and password")


@pytest.mark.parametrize("command", commands("database"))
def test_a_database_that_does_not_exist(run: Run, shop: Any, command: str) -> None:
    url = urlsplit(shop.settings.sales_database_url)._replace(path="/nowhere").geturl()
    refused(
        run(command, CONVEYOR_SALES_DATABASE_URL=url),
        f"CONVEYOR_SALES_DATABASE_URL: at 127.0.0.1:{shop.postgres.port} there is no database 'nowhere': ",
    )


@pytest.mark.parametrize("login", ["sales:no", "nobody:no", "sales"])
def test_a_database_that_refuses_the_login(run: Run, shop: Any, login: str) -> None:
    url = urlsplit(shop.settings.sales_database_url)
    url = url._replace(netloc=f"{login}@127.0.0.1:{shop.postgres.port}")
    user = login.partition(":")[0]
    refused(
        run("relay sales", CONVEYOR_SALES_DATABASE_URL=url.geturl()),
        f"CONVEYOR_SALES_DATABASE_URL: at 127.0.0.1:{shop.postgres.port} '{user}' may not log in: ",
    )


def test_a_database_of_another_service(run: Run, own_shop: Any) -> None:
    path = urlsplit(own_shop.settings.inventory_database_url).path
    url = urlsplit(own_shop.settings.sales_database_url)._replace(path=path).geturl()
    own_shop.postgres.execute(f"REVOKE CONNECT ON DATABASE {path[1:]} FROM PUBLIC", "postgres")
    refused(run("sweeper", CONVEYOR_SALES_DATABASE_URL=url), f"'sales' may not connect to '{path[1:]}'")


def test_a_database_without_tables_and_a_role_without_rights(run: Run, own_shop: Any) -> None:
    url, name = own_shop.settings.sales_database_url, f"{own_shop.name}_sales"
    own_shop.postgres.execute("ALTER TABLE outbox OWNER TO CURRENT_USER", name)
    refused(run("sweeper", CONVEYOR_SALES_DATABASE_URL=url), "'sales' may not read the tables of the database at ")
    own_shop.postgres.execute("DROP TABLE outbox", name)
    refused(run("sweeper", CONVEYOR_SALES_DATABASE_URL=url), "has no tables of sales's: `conveyor migrate sales`, or")


@pytest.mark.parametrize("command", commands("redis"))
@pytest.mark.parametrize("login", ["", ":no@"])
def test_a_redis_that_refuses_the_login(run: Run, valkey: Valkey, command: str, login: str) -> None:
    url = f"redis://{login}127.0.0.1:{valkey.port}/0"
    refused(
        run(command, CONVEYOR_REDIS_URL=url),
        f"CONVEYOR_REDIS_URL: Redis at 127.0.0.1:{valkey.port} refuses the login: correct user and password",
    )
