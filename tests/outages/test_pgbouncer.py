"""PgBouncer in transaction mode before the databases: everything works, and a migration leaves nothing behind."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from tests.integration.pipeline.processes import Pipeline, wait_until

SERVICES = ("sales", "inventory", "delivery")


class PgBouncer:
    """Each service's database behind one port, with so few connections that each is used again at once."""

    def __init__(self, postgres: Postgres, folder: Path, pool_size: int) -> None:
        self.port = free_port()
        self.urls: dict[str, str] = {}
        lines = ["[databases]"]
        for service in SERVICES:
            there = make_url(postgres.service_url(service))
            login = f"user={there.username} password={there.password}"
            lines.append(f"{service} = host=127.0.0.1 port={there.port} dbname={there.database} {login}")
            self.urls[service] = f"postgresql://{service}@127.0.0.1:{self.port}/{service}"
        lines += ["[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {self.port}", "unix_socket_dir ="]
        lines += ["auth_type = any", "pool_mode = transaction", f"default_pool_size = {pool_size}"]
        configuration = folder / "pgbouncer.ini"
        configuration.write_text("\n".join(lines) + "\n")
        for each in (configuration, folder):
            each.chmod(0o755)  # root's PgBouncer becomes nobody
        command = [str(shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")), str(configuration)]
        command += ["-u", "nobody"] if os.geteuid() == 0 else []
        self._log = (folder / "pgbouncer.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        wait_until(lambda: self.ask("sales", "SELECT 1") == [(1,)] or self._process.poll() is not None)

    def ask(self, service: str, query: str) -> list[tuple[object, ...]]:
        try:
            connection = psycopg2.connect(self.urls[service], connect_timeout=5)
        except psycopg2.OperationalError:
            return []
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture
def installed() -> None:
    if shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        missing = "needs PgBouncer: install pgbouncer"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


@pytest.fixture
def pgbouncer(installed: None, pipeline: Pipeline, postgres: Postgres, tmp_path: Path) -> Iterator[PgBouncer]:
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    bouncer = PgBouncer(postgres, folder, pool_size=1)
    for service, url in bouncer.urls.items():
        pipeline.environment[f"CONVEYOR_{service.upper()}_DATABASE_URL"] = url
    yield bouncer
    bouncer.stop()
    shutil.rmtree(folder)


#: What a connection remembers, and which locks it holds.
LEFT = (
    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


def test_migrate_leaves_neither_settings_nor_locks_on_the_connection(pgbouncer: PgBouncer, pipeline: Pipeline) -> None:
    before = pgbouncer.ask("sales", LEFT)
    [(_timeout, _lock, held)] = before
    assert held == 0
    for _ in range(3):
        assert "sales: migrated to head" in pipeline.run("migrate", "sales")
        assert pgbouncer.ask("sales", LEFT) == before


@pytest.mark.rabbitmq
def test_every_process_and_command_works_behind_it(pgbouncer: PgBouncer, pipeline: Pipeline) -> None:
    for service in SERVICES:
        pipeline.start("worker", service, wait=False)
        pipeline.start("relay", service, wait=False)
        pipeline.environment[f"CONVEYOR_{service.upper()}_PORT"] = str(free_port())
        pipeline.start("serve", service, wait=False)
    pipeline.start("sweeper", wait=False)
    pipeline.start("quarantine", wait=False)
    pipeline.wait_for_ready()
    product = pipeline.add_product(stock=20)
    orders = [pipeline.place(product) for _ in range(10)]
    pipeline.wait_for(orders, Pending_Shipment=10)
    for each in orders[:3]:
        pipeline.cancel(each)
    pipeline.wait_for(orders, Pending_Shipment=7, Cancelled=3)
    assert pipeline.taken(product) == 7
    assert pipeline.flagged(orders) == 0
    pipeline.run("quarantine", "list")
    pipeline.run("customer", "doubles")
    pipeline.run("migrate")
