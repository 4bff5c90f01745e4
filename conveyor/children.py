"""The list of ``conveyor run``: which processes make a stack, what each of them is told, and what each waits for.

All of them begin in one fork server. A process gets the URLs that it needs and no other: a worker of inventory could
not read the orders if it tried.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import urllib3

from chassis.settings import PREFIX, WEB, Settings
from conveyor import SERVICES
from conveyor.embedded.fork_server import ForkServer
from conveyor.embedded.processes import inherited
from conveyor.embedded.unit import Child
from conveyor.stack import GUARDED, mark

DATABASES = tuple(f"{service}_database_url" for service in SERVICES)
BROKER, CACHE = "broker_url", "redis_url"
#: What the processes share: libraries, and of Conveyor's own what reads no settings while it is loaded, which is all
#: but celeryconfig and what imports that.
LIBRARIES = (
    "click", "structlog", "msgspec", "uuid_utils.compat", "urllib3", "redis", "psycopg2", "sqlalchemy.orm",
    "sqlalchemy.dialects.postgresql.psycopg2", "flask", "flask_smorest", "flask_swagger_ui", "marshmallow",
    "webargs.flaskparser", "apispec.ext.marshmallow", "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl", "kombu.transport.pyamqp",
    "celery.apps.worker", "celery.app.control", "celery.app.log", "celery.backends.redis", "celery.canvas",
    "celery.concurrency.thread", "celery.events", "celery.worker.consumer.consumer", "celery.worker.control",
    "celery.worker.request", "celery.worker.state", "celery.worker.strategy", "celery.worker.autoscale",
    "celery.worker.components", "celery.app.events", "celery.fixups.django", "psycopg2.extras", "encodings.idna",
    "multiprocessing.pool",
)  # fmt: skip
OWN = ("conveyor.cli", "conveyor.web_process", "gateway_app.app", "sales.app", "inventory.app", "delivery.app")
#: Nobody shuts workers down through it, with a password or without; workers that have left are soon forgotten.
FLOWER = {"FLOWER_READ_ONLY": "true", "FLOWER_PURGE_OFFLINE_WORKERS": "60"}
CATALOGUE = Path(__file__).parent / "samples" / "catalogue.csv"


def variables(settings: Settings) -> dict[str, str]:
    """Settings as environment variables, those that are not at their default; each port by itself."""
    changed = [each for each in fields(Settings) if getattr(settings, each.name) != each.default]
    told = {each.name: getattr(settings, each.name) for each in changed if each.name != "port_base"}
    told |= {f"{name}_url": getattr(settings, f"{name}_url") for name in WEB}  # else they would follow from the ports
    return {PREFIX + name.upper(): str(value) for name, value in told.items()}


def url_of(host: str, port: int) -> str:
    """Where this machine reaches a process that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}"


def answers(url: str) -> Callable[[], bool]:
    """A health check: does a GET of this URL answer 200?"""

    def check() -> bool:
        try:
            with urllib3.PoolManager(timeout=3, retries=False) as pool:
                return pool.request("GET", url).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    return check


def copies(name: str, count: int) -> list[str]:
    """Names for so many processes of one kind; the first has the kind's own."""
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


class Children:
    """Makes the children of one stack. ``settings`` lead to its servers, ``servers`` are the names of embedded ones."""

    def __init__(self, settings: Settings, state: Path, servers: set[str], management_url: str = "") -> None:
        """``management_url`` is RabbitMQ's API with its password, for Flower's page about the broker."""
        self._settings = settings
        self._state = state
        self._servers = servers
        self._management_url = management_url
        self._fork_server = ForkServer((*LIBRARIES, *OWN), self._ours(), state)

    def all(self) -> list[Child]:
        """Every job and every process, in the order in which they can start."""
        return [self._fork_server, *self._jobs(), *self._web(), self._catalogue(), *self._workers(), self._flower()]

    def _jobs(self) -> Iterator[Child]:
        yield self._job("migrate", ("migrate",), DATABASES, needs=("postgres",))
        yield self._job("topology", ("topology",), (BROKER,), needs=("rabbitmq", "broker"))

    def _web(self) -> Iterator[Child]:
        for service in SERVICES:
            url = url_of(self._settings.host, getattr(self._settings, f"{service}_port"))
            knows = (f"{service}_database_url", CACHE)
            yield self._web_process(service, url, knows, needs=("migrate", "valkey"))
        # Without its three services the gateway is alive and not ready.
        yield self._web_process("gateway", self._settings.gateway_url, (CACHE,), needs=("valkey",))

    def _catalogue(self) -> Child:
        needs = ("gateway", "inventory")
        return self._job("catalogue", ("catalogue", "load", str(CATALOGUE), "--new-shop"), (), needs)

    def _workers(self) -> Iterator[Child]:
        ready = ("migrate", "topology", "valkey")
        for service in SERVICES:
            database = f"{service}_database_url"
            for name in copies(f"worker-{service}", self._settings.workers):
                # A name that stays when it is started again: Flower would list each dead one as a worker of its own.
                command = ("worker", service, "--events", "--name", name.removeprefix("worker-"))
                yield self._worker(name, command, (database, BROKER, CACHE), ready)
            for name in copies(f"relay-{service}", self._settings.relays):
                yield self._worker(name, ("relay", service), (database, BROKER), ready)
        yield self._worker("sweeper", ("sweeper",), ("sales_database_url",), ("migrate",))
        yield self._worker("quarantine", ("quarantine", "run"), ("sales_database_url", BROKER), ready)

    def _flower(self) -> Child:
        settings = self._settings
        command = [sys.executable, "-m", "conveyor", "flower"]
        # It remembers 100,000 tasks unless told otherwise, which are 300 MiB.
        command += [f"--address={settings.host}", f"--port={settings.flower_port}", "--max_tasks=10000"]
        environment = self._environment((BROKER, CACHE)) | FLOWER
        # In the environment: an argument would show the password in ps.
        if self._management_url:
            environment["FLOWER_BROKER_API"] = self._management_url
        if settings.flower_basic_auth:
            environment["FLOWER_BASIC_AUTH"] = settings.flower_basic_auth
        health = answers(f"{url_of(settings.host, settings.flower_port)}/healthcheck")
        return self._child("flower", command, environment, health, needs=("topology", "valkey"))

    def _job(self, name: str, arguments: tuple[str, ...], knows: tuple[str, ...], needs: tuple[str, ...]) -> Child:
        child = self._conveyor(name, arguments, self._environment(knows), lambda: False, needs)
        child.finishes = True
        return child

    def _web_process(self, name: str, url: str, knows: tuple[str, ...], needs: tuple[str, ...]) -> Child:
        health = answers(f"{url}/health/ready")
        return self._conveyor(name, ("serve", name), self._environment(knows), health, needs)

    def _worker(self, name: str, arguments: tuple[str, ...], knows: tuple[str, ...], needs: tuple[str, ...]) -> Child:
        ready_file = self._state / "ready" / name
        environment = self._environment(knows) | {f"{PREFIX}READY_FILE": str(ready_file)}
        child = self._conveyor(name, arguments, environment, ready_file.exists, needs)
        child.ready_file = ready_file
        return child

    def _conveyor(
        self,
        name: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        health: Callable[[], bool],
        needs: tuple[str, ...],
    ) -> Child:
        return self._child(name, [sys.executable, "-m", "conveyor", *arguments], environment, health, needs)

    def _child(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        health: Callable[[], bool],
        needs: tuple[str, ...],
    ) -> Child:
        needs = (self._fork_server.name, *self._existing(needs))
        return Child(name, command, environment, self._state, health, needs, start=self._fork_server.fork)

    def _existing(self, needs: tuple[str, ...]) -> tuple[str, ...]:
        """A server that is not embedded is not waited for: it runs elsewhere."""
        servers = {"postgres", "valkey", "rabbitmq", "broker"}
        return tuple(each for each in needs if each not in servers or each in self._servers)

    def _environment(self, knows: tuple[str, ...]) -> dict[str, str]:
        everything = variables(self._settings)
        hidden = {PREFIX + name.upper() for name in GUARDED - set(knows)}
        told = {name: value for name, value in everything.items() if name not in hidden}
        return self._ours() | told

    def _ours(self) -> dict[str, str]:
        """What every process of this stack is told."""
        name, value = mark(self._state)
        return inherited() | {"PYTHONUNBUFFERED": "1", name: value}
