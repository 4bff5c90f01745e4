"""What each process of ``conveyor run`` is told, and which servers it brings."""

import subprocess
import sys
from pathlib import Path

import pytest

from chassis.settings import Settings, read
from conveyor.children import LIBRARIES, OWN, Children, url_of, variables
from conveyor.embedded import rabbitmq
from conveyor.embedded.processes import EmbeddedError
from conveyor.embedded.supervisor import Supervisor
from conveyor.embedded.unit import Child
from conveyor.embedded.valkey import Valkey
from conveyor.servers import Servers

EVERYWHERE = Settings(
    sales_database_url="postgresql://sales@db/ecommerce_db",
    inventory_database_url="postgresql://inventory@db/inventory_db",
    delivery_database_url="postgresql://delivery@db/delivery_db",
    broker_url="amqp://user:secret@broker.example/shop",
    redis_url="redis://cache",
    flower_basic_auth="ada:secret",
    currency="GBP",
)
URLS = {"SALES_DATABASE_URL", "INVENTORY_DATABASE_URL", "DELIVERY_DATABASE_URL", "BROKER_URL", "REDIS_URL"}


@pytest.fixture
def children(tmp_path: Path) -> dict[str, Child]:
    return {child.name: child for child in Children(EVERYWHERE, tmp_path, set(), "http://api").all()}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fork-server", set()),
        ("migrate", {"SALES_DATABASE_URL", "INVENTORY_DATABASE_URL", "DELIVERY_DATABASE_URL"}),
        ("topology", {"BROKER_URL"}),
        ("catalogue", set()),
        ("gateway", {"REDIS_URL"}),
        ("inventory", {"INVENTORY_DATABASE_URL", "REDIS_URL"}),
        ("worker-delivery", {"DELIVERY_DATABASE_URL", "BROKER_URL", "REDIS_URL"}),
        ("relay-sales", {"SALES_DATABASE_URL", "BROKER_URL"}),
        ("sweeper", {"SALES_DATABASE_URL"}),
        ("quarantine", {"SALES_DATABASE_URL", "BROKER_URL"}),
        ("flower", {"BROKER_URL", "REDIS_URL"}),
    ],
)
def test_a_process_is_told_its_own_urls_only(children: dict[str, Child], name: str, told: set[str]) -> None:
    environment = children[name].environment
    assert {url for url in URLS if f"CONVEYOR_{url}" in environment} == told


def test_every_process_of_ours_understands_its_environment(children: dict[str, Child]) -> None:
    for child in children.values():
        assert child.name == "fork-server" or read(child.environment).currency == "GBP"


def test_what_is_loaded_before_a_fork_reads_no_settings_and_starts_no_thread() -> None:
    # A fork would find the settings of the fork server in place of its own, and a lock that nobody gives back.
    code = (
        f"import importlib, sys, threading\nfor each in {(*LIBRARIES, *OWN)!r}: importlib.import_module(each)\n"
        "from chassis.settings import settings\n"
        "print('celeryconfig' in sys.modules, settings.cache_info().misses, threading.active_count())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "0", "1"]


def test_only_flower_is_told_its_password(children: dict[str, Child]) -> None:
    told = {name for name, child in children.items() if "ada:secret" in child.environment.values()}
    assert told == {"flower"}
    assert not any("secret" in argument for child in children.values() for argument in child.command)


def test_what_carries_a_ready_file_is_told_where(children: dict[str, Child], tmp_path: Path) -> None:
    named = {name for name, child in children.items() if "CONVEYOR_READY_FILE" in child.environment}
    services = ("sales", "inventory", "delivery")
    assert named == {f"{kind}-{each}" for kind in ("worker", "relay") for each in services} | {"sweeper", "quarantine"}
    assert children["sweeper"].environment["CONVEYOR_READY_FILE"] == str(tmp_path / "ready" / "sweeper")


def test_settings_become_variables_that_mean_the_same() -> None:
    chosen = Settings(gateway_port=4001, redis_timeout=0.25, log_level="DEBUG")
    told = {name: value for name, value in variables(chosen).items() if not name.endswith("_URL")}
    assert told == {
        "CONVEYOR_GATEWAY_PORT": "4001",
        "CONVEYOR_REDIS_TIMEOUT": "0.25",
        "CONVEYOR_LOG_LEVEL": "DEBUG",
    }
    assert read(variables(chosen)) == chosen


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::1", "http://[::1]:1")],
)
def test_a_process_is_looked_for_where_it_listens(host: str, url: str) -> None:
    assert url_of(host, 1) == url


class TestServers:
    def test_a_url_replaces_its_server(self, tmp_path: Path) -> None:
        servers = Servers.chosen(EVERYWHERE, tmp_path)
        assert servers.all() == []
        assert servers.lead_to(EVERYWHERE).broker_url == EVERYWHERE.broker_url
        assert servers.about_the_broker(EVERYWHERE) == "Broker: the one of CONVEYOR_BROKER_URL, broker.example/shop"

    def test_without_any_url_each_server_is_brought_and_the_whole_list_can_start(self, tmp_path: Path) -> None:
        chosen = Settings(embedded_broker="valkey")
        servers = Servers.chosen(chosen, tmp_path)
        names = {server.name for server in servers.all()}
        assert names == {"postgres", "valkey", "broker"}
        running = servers.lead_to(chosen)
        assert all((running.sales_database_url, running.broker_url, running.redis_url))
        assert running.broker_url != running.redis_url
        children = Children(running, tmp_path, names).all()
        Supervisor([*servers.all(), *children], print)  # refuses a need that nobody fills

    def test_one_database_elsewhere_leaves_the_others_embedded(self, tmp_path: Path) -> None:
        chosen = Settings(sales_database_url="postgresql://elsewhere", embedded_broker="valkey")
        running = Servers.chosen(chosen, tmp_path).lead_to(chosen)
        assert running.sales_database_url == "postgresql://elsewhere"
        assert running.inventory_database_url.startswith("postgresql://inventory:")

    def test_without_rabbitmq_valkey_stands_in_and_that_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rabbitmq, "installed", lambda: None)
        servers = Servers.chosen(Settings(), tmp_path)
        assert isinstance(servers.broker, Valkey)
        said = servers.about_the_broker(Settings())
        assert said.startswith("Broker: Valkey stands in for RabbitMQ, which is not installed here.")
        assert "no dead-letter queues" in said

    def test_rabbitmq_asked_for_and_not_installed_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rabbitmq, "installed", lambda: None)
        with pytest.raises(EmbeddedError, match="RabbitMQ is not installed here"):
            Servers.chosen(Settings(embedded_broker="rabbitmq"), tmp_path)
