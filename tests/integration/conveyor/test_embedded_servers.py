"""The three embedded servers, as every other test uses them: real, on loopback, each in a directory."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import amqp
import psycopg2
import pytest
import redis

from conveyor.embedded import postgres as postgres_module
from conveyor.embedded import rabbitmq as rabbitmq_module
from conveyor.embedded.ports import PortTaken, free_port
from conveyor.embedded.postgres import DATABASES, Postgres
from conveyor.embedded.processes import EmbeddedError
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import BROKER, Valkey

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("stack") / "postgres", free_port()).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("stack") / "valkey", free_port()).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    if rabbitmq_module.installed() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("RabbitMQ is not installed, and CI needs it")
        pytest.skip("RabbitMQ is not installed on this machine")
    server = RabbitMQ(
        tmp_path_factory.mktemp("stack") / "rabbitmq",
        free_port(),
        dist_port=free_port(),
        epmd_port=free_port(),
        management_port=free_port(),
    ).start()
    yield server
    server.kill()


def in_database(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class TestPostgres:
    @pytest.mark.parametrize("service", DATABASES)
    def test_a_service_owns_its_database(self, postgres: Postgres, service: str) -> None:
        url = postgres.service_url(service)
        in_database(url, f"CREATE TABLE mine_{service} (id int)")
        assert in_database(url, "SELECT current_user, current_database()") == [(service, DATABASES[service])]

    @pytest.mark.parametrize("other", ["inventory_db", "delivery_db", "postgres", "template1"])
    def test_a_service_reaches_no_other_database(self, postgres: Postgres, other: str) -> None:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            in_database(postgres.url(other, "sales"), "SELECT 1")

    def test_a_wrong_password_is_refused(self, postgres: Postgres) -> None:
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            in_database(f"postgresql://sales:guess@127.0.0.1:{postgres.port}/ecommerce_db", "SELECT 1")

    def test_it_writes_to_the_disk_and_listens_on_loopback_only(self, postgres: Postgres) -> None:
        assert postgres.execute("SHOW fsync") == [("on",)]
        assert postgres.execute("SHOW listen_addresses") == [("127.0.0.1",)]

    def test_committed_rows_are_there_after_a_kill(self, postgres: Postgres) -> None:
        url = postgres.service_url("sales")
        in_database(url, "CREATE TABLE kept AS SELECT 7 AS number")
        postgres.kill()
        assert not postgres.alive()
        postgres.start()
        assert in_database(url, "SELECT number FROM kept") == [(7,)]

    def test_a_second_start_takes_over_the_running_server(self, postgres: Postgres) -> None:
        assert Postgres(postgres.directory, postgres.port).start().pid() == postgres.pid()

    def test_another_database_can_be_made_and_dropped(self, postgres: Postgres) -> None:
        url = postgres.create_database("extra", "delivery")
        in_database(url, "CREATE TABLE t (id int)")
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            in_database(postgres.url("extra", "sales"), "SELECT 1")
        postgres.drop_database("extra")
        assert postgres.execute("SELECT 1 FROM pg_database WHERE datname = 'extra'") == []

    def test_passwords_are_readable_by_their_owner_only(self, postgres: Postgres) -> None:
        files = list(postgres.directory.glob("*.password"))
        assert len(files) == 4
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}

    def test_a_cluster_of_another_version_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "PG_VERSION").write_text("9\n")
        with pytest.raises(EmbeddedError, match="was made by PostgreSQL 9"):
            Postgres(tmp_path, free_port()).start()

    def test_a_cluster_left_half_made_is_made_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_module, "DATABASES", {"sales": 'broken"name'})
        with pytest.raises(EmbeddedError, match="postgres failed"):
            Postgres(tmp_path, free_port()).start()
        monkeypatch.undo()
        server = Postgres(tmp_path, free_port()).start()
        try:
            assert in_database(server.service_url("sales"), "SELECT 1") == [(1,)]
        finally:
            server.kill()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
    def test_root_is_served_where_namespaces_are_forbidden(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        only_the_second = postgres_module.ways_down()[1:]
        monkeypatch.setattr(postgres_module, "ways_down", lambda: only_the_second)
        tmp_path.chmod(0o700)
        server = Postgres(tmp_path / "stack" / "postgres", free_port()).start()
        try:
            assert (server.data / "PG_VERSION").stat().st_uid == 65534
            assert in_database(server.service_url("sales"), "SELECT 1") == [(1,)]
        finally:
            server.kill()


class TestValkey:
    def test_keys_are_there_after_a_kill(self, valkey: Valkey) -> None:
        valkey.client().set("kept", "yes")
        valkey.kill()
        assert not valkey.alive()
        assert valkey.start().client().get("kept") == b"yes"

    def test_as_the_cache_it_is_bounded_and_as_the_broker_it_drops_nothing(
        self, valkey: Valkey, tmp_path: Path
    ) -> None:
        def bounds(server: Valkey) -> dict[str, str]:
            with server.client() as client:
                return dict(client.config_get("maxmemory", "maxmemory-policy"))

        assert bounds(valkey) == {"maxmemory": str(256 * 2**20), "maxmemory-policy": "volatile-ttl"}
        broker = Valkey(tmp_path, free_port(), name=BROKER).start()
        try:
            assert bounds(broker) == {"maxmemory": "0", "maxmemory-policy": "noeviction"}
        finally:
            broker.kill()

    def test_without_the_password_nothing_is_answered(self, valkey: Valkey) -> None:
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=valkey.port) as client:
            client.ping()

    def test_a_process_started_for_another_port_is_ended_and_replaced(self, tmp_path: Path) -> None:
        first = Valkey(tmp_path, free_port()).start()
        second = Valkey(tmp_path, free_port()).start()
        try:
            assert not first.alive()
            assert second.client().ping()
        finally:
            second.kill()

    def test_a_taken_port_is_named(self, valkey: Valkey, tmp_path: Path) -> None:
        with pytest.raises(PortTaken, match=f"port {valkey.port} on 127.0.0.1 is taken"):
            Valkey(tmp_path, valkey.port).start()


@pytest.mark.rabbitmq
class TestRabbitMQ:
    def connect(self, rabbitmq: RabbitMQ, vhost: str = "conveyor") -> amqp.Connection:
        secret = rabbitmq.url().partition("://")[2].partition(":")[2].partition("@")[0]
        connection = amqp.Connection(
            f"127.0.0.1:{rabbitmq.port}", userid="conveyor", password=secret, virtual_host=vhost
        )
        connection.connect()
        return connection

    def test_guest_is_refused(self, rabbitmq: RabbitMQ) -> None:
        with pytest.raises(amqp.AccessRefused):
            amqp.Connection(f"127.0.0.1:{rabbitmq.port}", userid="guest", password="guest").connect()

    def test_another_virtual_host_can_be_made_and_removed(self, rabbitmq: RabbitMQ) -> None:
        assert rabbitmq.add_vhost("a/b").endswith("/a%2Fb")
        self.connect(rabbitmq, "a/b").close()
        rabbitmq.remove_vhost("a/b")
        with pytest.raises(amqp.AMQPError):
            self.connect(rabbitmq, "a/b")

    def test_rabbitmqctl_speaks_to_this_node(self, rabbitmq: RabbitMQ) -> None:
        assert "conveyor" in rabbitmq.rabbitmqctl("list_vhosts", "--quiet")
        with pytest.raises(EmbeddedError, match="no_such_command failed"):
            rabbitmq.rabbitmqctl("no_such_command")

    def test_a_confirmed_message_is_there_after_stop_and_start(self, rabbitmq: RabbitMQ) -> None:
        connection = self.connect(rabbitmq)
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments=QUORUM)
        channel.basic_publish_confirm(amqp.Message("still here"), routing_key="kept")
        connection.close()
        rabbitmq.restart()
        connection = self.connect(rabbitmq)
        message = connection.channel().basic_get("kept", no_ack=True)
        connection.close()
        assert message is not None
        assert message.body == "still here"

    def test_killed_during_its_first_start_it_can_still_start(self, tmp_path: Path) -> None:
        ports = {name: free_port() for name in ("port", "dist_port", "epmd_port", "management_port")}
        server = RabbitMQ(tmp_path, **ports)
        server.spawn()
        try:
            until_it_has_begun = time.monotonic() + 30
            # The first is Mnesia's, the second Khepri's, from 4.3 on.
            while not [*tmp_path.glob("data/*/schema.DAT"), *tmp_path.glob("data/*/coordination")]:
                assert time.monotonic() < until_it_has_begun, (tmp_path / "log").read_text()
                time.sleep(0.02)
        finally:
            server.kill()
        server.start()
        try:
            connection = self.connect(server)
            connection.channel().queue_declare("q", durable=True, auto_delete=False, arguments=QUORUM)
            connection.close()
        finally:
            server.kill()

    def test_stopped_it_leaves_no_process_behind(self, rabbitmq: RabbitMQ) -> None:
        rabbitmq.stop()
        assert not rabbitmq.alive()
        assert rabbitmq.epmd is not None
        assert not rabbitmq.epmd.alive()
        rabbitmq.start()
