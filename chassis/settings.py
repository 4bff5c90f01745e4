"""Every setting of every process, read once from the environment.

Each variable is the field's name in capitals behind ``CONVEYOR_``: ``broker_url`` is ``CONVEYOR_BROKER_URL``. A
process that meets an unknown variable, a value of the wrong kind, or needs one that is not there, ends at once and
names it. There is no default secret: a URL that carries a password has no default.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from chassis.errors import SettingsError

PREFIX = "CONVEYOR_"


def _setting(default: Any, doc: str, least: float | None = None, among: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"doc": doc, "least": least, "among": among})


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Durations are seconds unless the name says otherwise, sizes are bytes."""

    sales_database_url: str = _setting("", "PostgreSQL URL of ecommerce_db")
    inventory_database_url: str = _setting("", "PostgreSQL URL of inventory_db")
    delivery_database_url: str = _setting("", "PostgreSQL URL of delivery_db")
    broker_url: str = _setting("", "AMQP URL of RabbitMQ, with its virtual host; redis:// for the stand-in broker")
    redis_url: str = _setting("", "Redis or Valkey: idempotency keys, outcomes, results of operator tasks")

    host: str = _setting("127.0.0.1", "address that the web processes and Flower listen on")
    gateway_port: int = _setting(3001, "port of the gateway, the only public door", 1)
    sales_port: int = _setting(3000, "port of sales", 1)
    delivery_port: int = _setting(3002, "port of delivery", 1)
    inventory_port: int = _setting(3003, "port of inventory", 1)
    flower_port: int = _setting(5555, "port of Flower", 1)
    flower_basic_auth: str = _setting("", "user:password that Flower asks for; empty asks for none")

    gateway_url: str = _setting("http://127.0.0.1:3001", "where the command line finds the gateway")
    sales_url: str = _setting("http://127.0.0.1:3000", "where the gateway finds sales")
    delivery_url: str = _setting("http://127.0.0.1:3002", "where the gateway finds delivery")
    inventory_url: str = _setting("http://127.0.0.1:3003", "where the gateway finds inventory")

    sales_relay: str = _setting("127.0.0.1:3010", "host:port (UDP) on which sales wakes its relay after a commit")
    inventory_relay: str = _setting("127.0.0.1:3013", "host:port (UDP) on which inventory wakes its relay")
    delivery_relay: str = _setting("127.0.0.1:3012", "host:port (UDP) on which delivery wakes its relay")
    relay_gap: float = _setting(0.05, "pause of a relay after a round that moved several orders: bundles form", 0)
    relay_poll: float = _setting(0.5, "how long a relay waits when nobody wakes it", 0.01)

    web_processes: int = _setting(1, "processes that answer HTTP for each of the gateway and the services", 1)
    web_threads: int = _setting(32, "threads of a service's web process", 1)
    gateway_threads: int = _setting(128, "threads of the gateway; at most half of them wait for Prefer: wait", 2)
    upstream_connect_timeout: float = _setting(1.0, "how long the gateway tries to connect to a service", 0.01)
    upstream_timeout: float = _setting(10.0, "how long the gateway waits for a service's answer", 0.01)
    upstream_failures: int = _setting(5, "requests in a row without an answer until a service is left alone", 1)
    upstream_rest: float = _setting(2.0, "how long such a service is left alone, until one request tries it", 0.01)
    upstream_share: float = _setting(0.25, "share of the gateway's threads that one slow service may keep busy", 0.01)
    upstream_slow: float = _setting(1.0, "a service that takes longer for a request is slow", 0.01)
    database_pool: int = _setting(8, "database connections a process keeps at most", 1)
    statement_timeout: float = _setting(15.0, "PostgreSQL ends a statement after this", 0.1)
    lock_timeout: float = _setting(5.0, "PostgreSQL gives up waiting for a lock after this", 0.1)
    idle_in_transaction_timeout: float = _setting(30.0, "PostgreSQL ends a transaction left idle for this", 0.1)
    redis_timeout: float = _setting(0.5, "how long a call to Redis may take before the fallback is used", 0.01)
    database_wait: float = _setting(300.0, "how long a step keeps its message while its database is away", 0)

    max_body_bytes: int = _setting(1_048_576, "largest request body", 1)
    max_order_lines: int = _setting(1_000, "most lines of one order", 1)
    max_line_quantity: int = _setting(100_000, "most units of one line", 1)
    max_open_orders: int = _setting(100_000, "orders under way at once; beyond that new ones are answered 503", 1)
    currency: str = _setting("EUR", "ISO 4217 code of every price and total")
    idempotency_days: int = _setting(30, "days an Idempotency-Key is remembered in the database", 1)

    sweep_every: float = _setting(5.0, "pause between two rounds of the sweeper", 0.05)
    saga_deadline: float = _setting(30.0, "how long a chain may take before the sweeper looks at its order", 0.1)
    quiet_after: float = _setting(300.0, "when no chain has ended for this long, an outage is assumed", 0.1)
    delivery_report_after: float = _setting(86_400.0, "a shipped order unchanged for this long asks delivery", 1)

    ready_file: str = _setting("", "a file that the process touches once it is ready to work")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR", among=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _setting("json", "json, or console for people", among=("json", "console"))

    postgres_port: int = _setting(15432, "embedded stack: port of PostgreSQL", 1)
    valkey_port: int = _setting(16379, "embedded stack: port of Valkey", 1)
    broker_port: int = _setting(15670, "embedded stack: port of RabbitMQ, or of the Valkey that stands in", 1)
    rabbitmq_dist_port: int = _setting(15674, "embedded stack: RabbitMQ's distribution port", 1)
    rabbitmq_epmd_port: int = _setting(15675, "embedded stack: port of RabbitMQ's epmd", 1)
    rabbitmq_management_port: int = _setting(15672, "embedded stack: port of RabbitMQ's management page", 1)
    embedded_broker: str = _setting("auto", "embedded stack: auto, rabbitmq or valkey")
    workers: int = _setting(1, "embedded stack: worker processes of each service", 1)
    relays: int = _setting(1, "embedded stack: relays of each database; the first is woken, the others poll", 1)
    state_dir: str = _setting(".conveyor", "embedded stack: where data, logs and pids are kept")

    def database_url(self, service: str) -> str:
        """The URL of the database that this service owns. Raises SettingsError where it is not set."""
        return self.require(f"{service}_database_url")

    def require(self, name: str) -> str:
        """The value of a setting that this process cannot do without. Raises SettingsError where it is empty."""
        value = getattr(self, name)
        if not value:
            raise SettingsError(f"{PREFIX}{name.upper()} is not set: {documentation()[name]}")
        return str(value)


def documentation() -> dict[str, str]:
    """What each setting means, by field name."""
    return {each.name: each.metadata["doc"] for each in fields(Settings)}


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises SettingsError naming the first variable that is wrong."""
    known = {PREFIX + each.name.upper(): each for each in fields(Settings)}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"unknown setting {unknown[0]}; the README lists every variable")
    values: dict[str, Any] = {}
    for variable, each in known.items():
        if variable in environment:
            values[each.name] = _parsed(variable, environment[variable], each)
    return Settings(**values)


def _parsed(variable: str, text: str, setting: Any) -> Any:
    kind, least, among = setting.type, setting.metadata["least"], setting.metadata["among"]
    if among and text not in among:
        raise SettingsError(f"{variable} must be {' or '.join(among)}, not {text!r}")
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        wanted = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{variable} must be {wanted}, not {text!r}")
    if least is not None and value < least:
        raise SettingsError(f"{variable} must be at least {least}, not {text}")
    return value


@cache
def settings() -> Settings:
    """The settings of this process, read from its environment on first use."""
    return read(os.environ)
