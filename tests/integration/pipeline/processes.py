"""Real processes on a virtual host of their own, some of them with a patch that makes them die."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import amqp
from kombu import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE
from chassis.database import transaction
from conveyor.children import LIBRARIES
from conveyor.embedded.fork_server import ForkServer
from conveyor.embedded.ports import free_port
from conveyor.embedded.processes import RECORD, Process
from inventory import service as inventory
from sales import faults, placing
from sales import service as sales
from tests.integration.pipeline.strange import Strange

ROOT = Path(__file__).parents[3]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {condition}")
        time.sleep(0.05)


def run_command(command: Sequence[str], environment: Mapping[str, str], tree: Path = ROOT) -> str:
    """Run a command of the command line, of the code of this tree. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "conveyor", *command],
        env={**os.environ, **environment, "PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


@dataclass
class Pipeline:
    """Processes over three databases. Each is started, killed and started again by name: "worker-sales", "sweeper"."""

    sessions: dict[str, sessionmaker[Session]]
    environment: dict[str, str]
    folder: Path
    running: dict[str, Process] = field(default_factory=dict)
    ready_files: dict[str, Path] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    #: Who places the orders; registered here unless somebody is named.
    customer: UUID | None = None

    def __post_init__(self) -> None:
        self.fork_server = ForkServer(LIBRARIES, {**os.environ, "PYTHONPATH": str(ROOT)}, self.folder)
        self.fork_server.spawn()
        wait_until(self.fork_server.healthy)
        ports = {f"CONVEYOR_{each.upper()}_RELAY": f"127.0.0.1:{free_port()}" for each in self.sessions}
        self.environment = {**os.environ, **self.environment, **ports, "PYTHONPATH": str(ROOT)}
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        for sessions in self.sessions.values():
            with transaction(sessions) as session:
                session.execute(text("DELETE FROM outbox"))
        if self.customer is None:
            with transaction(self.sessions["sales"]) as session:
                self.customer = sales.register_customer(session, details, None)[0].id

    def start(
        self,
        kind: str,
        service: str = "",
        patch: str = "",
        wait: bool = True,
        tree: Path = ROOT,
        options: Sequence[str] = (),
        **environment: str,
    ) -> str:
        """Start a worker, relay or web process (``serve``) of a service, the sweeper or the quarantine; its name.

        ``patch`` is Python that runs in it first, and makes it die. ``tree`` is where its code comes from.
        """
        name = "-".join(each for each in (kind, service, tree.name if tree != ROOT else "") if each)
        command = [kind, service or "run", *options] if kind != "sweeper" else [kind]
        environment = {**self.environment, "PYTHONPATH": str(tree), **environment}
        self.ready_files[name] = self.folder / f"{name}.{uuid7().hex}.ready"
        if kind == "serve":
            self.ports[name] = int(environment[f"CONVEYOR_{service.upper()}_PORT"])
        self.running[name] = self.fork(
            name,
            f"{patch}\nfrom conveyor.cli import main\nmain({command!r})",
            {**environment, "CONVEYOR_READY_FILE": str(self.ready_files[name])},
            tree,
        )
        if wait:
            wait_until(lambda: self.ready(name) or self.dead(name))
        return name

    def fork(self, name: str, code: str, environment: dict[str, str] | None = None, tree: Path = ROOT) -> Process:
        """A process that runs this code, with a log of this name, in a folder where no stack is.

        The fork server has modules of ours loaded, so another tree's code begins in an interpreter of its own.
        """
        return Process.spawn(
            [sys.executable, "-c", f"import os\nos.chdir({str(self.folder)!r})\n{code}"],
            environment or self.environment,
            self.folder / f"{name}.log",
            self.folder / f"{name}{RECORD}",
            self.fork_server.fork if tree == ROOT else None,
        )

    def ready(self, name: str) -> bool:
        """Whether the process has said that it works; a web process, whether it listens."""
        if name not in self.ports:
            return self.ready_files[name].exists()
        try:
            socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
        except OSError:
            return False
        return True

    def start_all(self, tree: Path = ROOT, **patches: str) -> None:
        """A worker and a relay for each service; ``worker_sales="..."`` patches one."""
        names = [(kind, service) for service in self.sessions for kind in ("worker", "relay")]
        for kind, service in names:
            self.start(kind, service, patches.get(f"{kind}_{service}", ""), wait=False, tree=tree)
        self.wait_for_ready()

    def wait_for_ready(self) -> None:
        """Until every process works. Raises AssertionError, with its log, for one that ended instead."""

        def ready_or_dead(name: str) -> bool:
            assert not self.dead(name), f"{name} ended:\n{(self.folder / f'{name}.log').read_text()[-3000:]}"
            return self.ready(name)

        for name in self.running:
            wait_until(partial(ready_or_dead, name))

    def run(self, *command: str, tree: Path = ROOT) -> str:
        """Run a command of the command line to its end, and return what it printed. Raises CalledProcessError."""
        return run_command(command, self.environment, tree)

    def dead(self, name: str) -> bool:
        return not self.running[name].alive()

    def kill(self, name: str) -> None:
        """As a crash would."""
        self.running.pop(name).kill()

    def stop(self) -> None:
        """All at once, as a power cut would: whether they stop well when they are asked to is not tried here."""
        for name in list(self.running):
            self.kill(name)
        self.fork_server.kill()

    def end(self, *names: str) -> None:
        """As an operator would: each finishes what it has in hand."""
        ending = [self.running.pop(each) for each in names]
        for process in ending:
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGCONT)
        for process in ending:
            process.wait(15)
            process.kill()

    def publish(self, queue: str, *messages: Strange) -> None:
        """Any bytes into a queue, as a stranger may; they are in it then.

        Without confirms a quorum queue may not have the last ones yet when the connection ends, and never gets them.
        """
        ordinary = {"content_type": "application/json", "content_encoding": "utf-8"}
        confirmed = Connection(self.environment["CONVEYOR_BROKER_URL"], transport_options={"confirm_publish": True})
        with confirmed as connection, connection.channel() as channel:
            for each in messages:
                properties = {name: value for name, value in (ordinary | each.properties).items() if value}
                sent = amqp.Message(each.body, application_headers=each.headers, delivery_mode=2, **properties)
                channel.basic_publish(sent, EXCHANGE.name, queue)

    def add_product(self, stock: int) -> UUID:
        values = {"sku": uuid7().hex, "name": "Lamp", "price": "5.00", "stock_quantity": stock}
        with transaction(self.sessions["inventory"]) as session:
            return inventory.create_product(session, values, None)[0].id  # type: ignore[no-any-return]

    def place(self, product: UUID, quantity: int = 1, address: str = "here", correlation_id: str = "test") -> UUID:
        draft = {
            "customer_id": self.customer,
            "items": [{"product_id": product, "quantity": quantity}],
            "delivery_address": address,
        }
        with transaction(self.sessions["sales"]) as session:
            return placing.place_order(session, draft, None, correlation_id)[0]["id"]  # type: ignore[no-any-return]

    def cancel(self, order: UUID, correlation_id: str = "test") -> None:
        with transaction(self.sessions["sales"]) as session:
            sales.request_cancel(session, order, correlation_id)

    def replay_all(self) -> None:
        """What ``conveyor quarantine replay --all`` does."""
        for (message_id,) in self.ask("sales", "SELECT message_id FROM quarantine WHERE state = 'waiting'"):
            with transaction(self.sessions["sales"]) as session:
                faults.replay_message(session, str(message_id), "ada")

    def flagged(self, orders: list[UUID]) -> int:
        query = "SELECT count(*) FROM orders WHERE needs_attention AND id = ANY(CAST(:ids AS uuid[]))"
        return int(str(self.ask("sales", query, ids=[str(each) for each in orders])[0][0]))

    def statuses(self, orders: list[UUID]) -> dict[str, int]:
        query = "SELECT status, count(*) FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) GROUP BY status"
        return dict(self.ask("sales", query, ids=[str(each) for each in orders]))  # type: ignore[arg-type]

    def ask(self, service: str, query: str, **values: object) -> list[tuple[object, ...]]:
        with transaction(self.sessions[service]) as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def wait_for(self, orders: list[UUID], seconds: float = 60.0, **statuses: int) -> None:
        """Until these orders are what is said: ``Pending_Shipment=3``."""
        wanted = {name.replace("_", " "): count for name, count in statuses.items()}
        try:
            wait_until(lambda: self.statuses(orders) == wanted, seconds)
        except TimeoutError:
            raise AssertionError(f"{self.statuses(orders)} after {seconds} s, not {wanted}") from None

    def wait_for_reservation_under_way(self) -> None:
        """Until some step stands in ``pg_sleep``, in the middle of its transaction."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        wait_until(lambda: self.ask("inventory", query) != [(0,)])

    def taken(self, product: UUID) -> int:
        """Units of this product that the ledger says orders hold."""
        query = (
            "SELECT coalesce(-sum(quantity), 0) FROM stock_movements WHERE product_id = :id AND order_id IS NOT NULL"
        )
        return int(str(self.ask("inventory", query, id=product)[0][0]))
