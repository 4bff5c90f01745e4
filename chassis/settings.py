"""Every setting of every process, read once from the environment.

Each variable is the field's name in capitals behind ``CONVEYOR_``: ``broker_url`` is ``CONVEYOR_BROKER_URL``. A
process that meets an unknown variable, a value that makes no sense, or needs one that is not there, ends at once and
names it. There is no default secret: a URL that carries a password has no default.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from chassis import meaning
from chassis.errors import SettingsError

PREFIX = "CONVEYOR_"
#: The web processes, whose URLs follow from their ports.
WEB = ("gateway", "sales", "delivery", "inventory")
YEAR = 366 * 86_400.0
LARGEST = 2**31 - 1


def _setting(
    default: Any,
    doc: str,
    least: float | None = None,
    most: float | None = None,
    *,
    among: tuple[str, ...] = (),
    check: Callable[[str], None] | None = None,
    offset: int | None = None,
) -> Any:
    """``check`` raises ValueError with the rule; ``offset`` is where CONVEYOR_PORT_BASE puts this port."""
    bound = YEAR if isinstance(default, float) else LARGEST
    rules = {"least": least, "most": bound if most is None else most, "among": among, "check": check}
    return field(default=default, metadata={"doc": doc, "offset": offset, **rules})


def _port(default: int, offset: int, doc: str) -> Any:
    return _setting(default, doc, 1, 65_535, offset=offset)


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Durations are seconds unless the name says otherwise, sizes are bytes."""

    sales_database_url: str = _setting("", "PostgreSQL URL of ecommerce_db", check=meaning.database)
    inventory_database_url: str = _setting("", "PostgreSQL URL of inventory_db", check=meaning.database)
    delivery_database_url: str = _setting("", "PostgreSQL URL of delivery_db", check=meaning.database)
    broker_url: str = _setting(
        "", "AMQP URL of RabbitMQ, with its virtual host; redis:// for the stand-in broker", check=meaning.broker
    )
    redis_url: str = _setting(
        "", "Redis or Valkey: idempotency keys, outcomes, results of operator tasks", check=meaning.redis
    )

    host: str = _setting("127.0.0.1", "address that the web processes and Flower listen on", check=meaning.address)
    hosts: str = _setting(
        "", "further host names that the web processes answer to, separated by commas", check=meaning.hosts
    )
    gateway_port: int = _port(3001, 1, "port of the gateway, the only public door")
    sales_port: int = _port(3000, 0, "port of sales")
    delivery_port: int = _port(3002, 2, "port of delivery")
    inventory_port: int = _port(3003, 3, "port of inventory")
    flower_port: int = _port(5555, 20, "port of Flower")
    flower_basic_auth: str = _setting(
        "", "user:password that Flower asks for; empty asks for none", check=meaning.logins
    )

    gateway_url: str = _setting("http://127.0.0.1:3001", "where the command line finds the gateway", check=meaning.web)
    sales_url: str = _setting("http://127.0.0.1:3000", "where the gateway finds sales", check=meaning.web)
    delivery_url: str = _setting("http://127.0.0.1:3002", "where the gateway finds delivery", check=meaning.web)
    inventory_url: str = _setting("http://127.0.0.1:3003", "where the gateway finds inventory", check=meaning.web)

    sales_relay: str = _setting(
        "127.0.0.1:3010",
        "host:port (UDP) on which sales wakes its relay after a commit",
        check=meaning.host_and_port,
        offset=10,
    )
    inventory_relay: str = _setting(
        "127.0.0.1:3013", "host:port (UDP) on which inventory wakes its relay", check=meaning.host_and_port, offset=13
    )
    delivery_relay: str = _setting(
        "127.0.0.1:3012", "host:port (UDP) on which delivery wakes its relay", check=meaning.host_and_port, offset=12
    )
    relay_gap: float = _setting(0.05, "pause of a relay after a round that moved several orders: bundles form", 0)
    relay_poll: float = _setting(0.5, "how long a relay waits when nobody wakes it", 0.01)

    web_processes: int = _setting(1, "processes that answer HTTP for each of the gateway and the services", 1, 256)
    web_threads: int = _setting(32, "threads of a service's web process", 1, 4_096)
    gateway_threads: int = _setting(128, "threads of the gateway; at most half of them wait for Prefer: wait", 2, 4_096)
    upstream_connect_timeout: float = _setting(1.0, "how long the gateway tries to connect to a service", 0.01)
    upstream_timeout: float = _setting(10.0, "how long the gateway waits for a service's answer", 0.01)
    upstream_failures: int = _setting(5, "requests in a row without an answer until a service is left alone", 1)
    upstream_rest: float = _setting(2.0, "how long such a service is left alone, until one request tries it", 0.01)
    upstream_share: float = _setting(
        0.25, "share of the gateway's threads that one slow service may keep busy", 0.01, 1
    )
    upstream_slow: float = _setting(1.0, "a service that takes longer for a request is slow", 0.01)
    database_pool: int = _setting(8, "database connections a process keeps at most", 1, 1_000)
    statement_timeout: float = _setting(
        15.0, "PostgreSQL ends a statement after this; `migrate` sets it", 0.1, 2_000_000
    )
    lock_timeout: float = _setting(
        5.0, "PostgreSQL gives up waiting for a lock after this; `migrate` sets it", 0.1, 2_000_000
    )
    idle_in_transaction_timeout: float = _setting(
        30.0, "PostgreSQL ends a transaction left idle for this; `migrate` sets it", 0.1, 2_000_000
    )
    redis_timeout: float = _setting(0.5, "how long a call to Redis may take before the fallback is used", 0.01)
    database_wait: float = _setting(
        300.0, "how long a step keeps its message while its database is away; then its worker takes no more", 0, 1_200
    )

    max_connections: int = _setting(10_000, "connections of clients that a web process keeps open at most", 1)
    max_streams: int = _setting(2_000, "event streams that a web process keeps open at most", 1)
    body_time: float = _setting(10.0, "time for a request's body, beside 1 s for each 100 kB of it", 0.1)
    idle_time: float = _setting(15.0, "how long a connection may wait for its next request, headers included", 0.1)
    taking_time: float = _setting(30.0, "time for taking an answer, beside 1 s for each 100 kB of it", 0.1)
    live_within: float = _setting(30.0, "a web process that is not alive for so long is ended and started again", 1)
    max_body_bytes: int = _setting(1_048_576, "largest request body", 1, 2**30)
    max_order_lines: int = _setting(1_000, "most lines of one order", 1, 100_000)
    max_line_quantity: int = _setting(100_000, "most units of one line", 1)
    max_open_orders: int = _setting(100_000, "orders under way at once; beyond that new ones are answered 503", 1)
    currency: str = _setting("EUR", "ISO 4217 code of every price and total", check=meaning.currency)
    idempotency_days: int = _setting(30, "days an Idempotency-Key is remembered in the database", 1, 36_500)

    sweep_every: float = _setting(5.0, "pause between two rounds of the sweeper", 0.05)
    saga_deadline: float = _setting(30.0, "how long a chain may take before the sweeper looks at its order", 0.1)
    quiet_after: float = _setting(300.0, "when no chain has ended for this long, an outage is assumed", 0.1)
    delivery_report_after: float = _setting(86_400.0, "a shipped order unchanged for this long asks delivery", 1)

    ready_file: str = _setting("", "a file that the process touches once it is ready to work", check=meaning.file)
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR", among=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _setting(
        "json", "json, or console for people; `make run` takes console", among=("json", "console")
    )

    port_base: int = _setting(
        0, "embedded stack: moves every port to this number and the 39 above; 0: as below", 0, 65_496
    )
    postgres_port: int = _port(15432, 30, "embedded stack: port of PostgreSQL")
    valkey_port: int = _port(16379, 31, "embedded stack: port of Valkey")
    broker_port: int = _port(15670, 32, "embedded stack: port of RabbitMQ, or of the Valkey that stands in")
    rabbitmq_dist_port: int = _port(15674, 33, "embedded stack: RabbitMQ's distribution port")
    rabbitmq_epmd_port: int = _port(15675, 34, "embedded stack: port of RabbitMQ's epmd")
    rabbitmq_management_port: int = _port(15672, 35, "embedded stack: port of RabbitMQ's management page")
    embedded_broker: str = _setting(
        "auto", "embedded stack: auto, rabbitmq or valkey", among=("auto", "rabbitmq", "valkey")
    )
    workers: int = _setting(1, "embedded stack: worker processes of each service", 1, 64)
    relays: int = _setting(1, "embedded stack: relays of each database; the first is woken, the others poll", 1, 64)
    state_dir: str = _setting(".conveyor", "embedded stack: where data, logs and pids are kept", check=meaning.folder)

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
    return Settings(**_placed(values))


def _placed(values: dict[str, Any]) -> dict[str, Any]:
    """These values, with the ports that follow from CONVEYOR_PORT_BASE and the URLs that follow from the ports."""
    base = values.get("port_base", 0)
    moved: dict[str, Any] = {}
    for each in fields(Settings) if base else ():
        if each.metadata["offset"] is not None:
            port = base + each.metadata["offset"]
            moved[each.name] = port if each.type is int else f"127.0.0.1:{port}"
    values = moved | values
    ports = {name: values[f"{name}_port"] for name in WEB if f"{name}_port" in values}
    return {f"{name}_url": f"http://127.0.0.1:{port}" for name, port in ports.items()} | values


def _parsed(variable: str, text: str, setting: Any) -> Any:
    rules = setting.metadata
    try:
        if rules["among"]:
            meaning.one_of(text, rules["among"])
        elif setting.type is not str:
            return meaning.number(text, setting.type, rules["least"], rules["most"])
        elif rules["check"] is not None and (text or setting.default):  # empty is as good as not set
            rules["check"](text)
    except ValueError as error:
        raise SettingsError(f"{variable} {error}") from None
    return text


@cache
def settings() -> Settings:
    """The settings of this process, read from its environment on first use."""
    return read(os.environ)
