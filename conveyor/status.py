"""``conveyor status``: one look at everything."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import click
import redis
from sqlalchemy import Connection, text

from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor import SERVICES, stack
from conveyor.access import is_login, refused_redis
from conveyor.client import Gateway, Refused
from conveyor.databases import Databases
from conveyor.embedded.processes import started
from conveyor.parallel import within
from conveyor.target import leads_elsewhere, target
from conveyor.terminal import say, say_json

#: Seconds that a source has to answer in, so that one that hangs does not hide the others.
PATIENCE = 3

Look = Callable[["Status", Settings], None]

#: A row from the future, before somebody set the clock back, is as old as one of now.
_OUTBOX = text(
    "SELECT count(*), extract(epoch FROM clock_timestamp() - min(least(created_at, clock_timestamp()))) FROM outbox"
)
_ORDERS = text("SELECT status, count(*), count(*) FILTER (WHERE needs_attention) FROM orders GROUP BY status")
_QUARANTINE = text("SELECT count(*) FROM quarantine WHERE state = 'waiting'")


@dataclass
class Status:
    """What was seen. What could not be seen is None or missing, and ``down`` says why, by the source's name.

    ``outboxes`` has the number of rows and the age of the oldest in seconds; ``queues`` the number of messages that
    wait, and that are dead (None where the broker has no dead-letter queues), and of workers that consume them (None
    where the broker does not know). A process is running, starting, waiting (``down`` says for what) or dead.
    """

    stack: str | None = None
    processes: list[dict[str, Any]] = field(default_factory=list)
    gateway: dict[str, Any] | None = None
    queues: dict[str, dict[str, int | None]] = field(default_factory=dict)
    outboxes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    orders: dict[str, int] | None = None
    needs_attention: int | None = None
    quarantine: int | None = None
    down: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Status") -> None:
        """What was seen elsewhere was seen."""
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(ours, dict):
                ours.update(theirs or {})
            elif isinstance(ours, list):
                ours.extend(theirs)
            elif theirs is not None:
                setattr(self, each.name, theirs)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show how everything is: processes, queues, outboxes, orders, and what needs somebody.

    \b
      conveyor status
      conveyor status --json | jq .needs_attention
      watch -n 2 conveyor status

    Exit code: 0 everything answers, 1 something is down (it is named, and the rest is shown).
    """
    seen = look_at(target())
    if as_json:
        say_json(asdict(seen))
    else:
        say(*_lines(seen))
    context.exit(1 if seen.down else 0)


def look_at(settings: Settings) -> Status:
    """One look at every source of the system that these settings lead to. Never raises for one that is down."""
    seen = Status()
    if not leads_elsewhere():
        _look_at_processes(seen, settings)
    sources: dict[str, Look] = {"gateway": _look_at_gateway, "broker": _look_at_queues, "redis": _look_at_redis}
    sources |= {f"{service} database": partial(_look_at_database, service=service) for service in SERVICES}
    # Each fills a page of its own: what comes too late is not written into what is being shown.
    found = within(PATIENCE + 1, {source: partial(_seen, look, settings) for source, look in sources.items()})
    for source, part in found.items():
        if isinstance(part, Status):
            seen.add(part)
        elif isinstance(part, ConveyorError | TimeoutError):
            seen.down[source] = str(part)
        else:
            raise part
    return seen


def _seen(look: Look, settings: Settings) -> Status:
    seen = Status()
    look(seen, settings)
    return seen


def _look_at_processes(seen: Status, settings: Settings) -> None:
    running = stack.running(settings.state_dir)
    if running is None:
        seen.stack = f"none runs on {settings.state_dir}: `conveyor run` starts one"
        return
    seen.stack = f"{settings.state_dir}, process {running.supervisor}{'' if running.ready else ', not ready yet'}"
    for name, pid in sorted(running.processes.items()):
        alive = started(pid) is not None
        why = f"process {pid} has ended" if not alive else stack.trouble(Path(settings.state_dir), name)
        state = "dead" if not alive else "running" if why is None else "starting" if why == "starting" else "waiting"
        seen.processes.append({"name": name, "pid": pid, "state": state})
        if why is not None and why != "starting":
            seen.down[name] = why


def _look_at_gateway(seen: Status, settings: Settings) -> None:
    try:
        seen.gateway = Gateway(settings.gateway_url, timeout=PATIENCE).get("/health").body
    except Refused as refusal:
        seen.gateway = dict(refusal.problem)
        for name in refusal.problem.get("down", ["gateway"]):
            seen.down[name] = f"the gateway says: {refusal.problem.get('services', {}).get(name, refusal.detail)}"


def _look_at_queues(seen: Status, settings: Settings) -> None:
    from conveyor.broker import consumers, dead_queues, depths, differences, has_alarm, is_stand_in, work_queues

    url = settings.require("broker_url")
    dead = [] if is_stand_in(url) else dead_queues()
    found = depths(url, [*work_queues(), *dead], timeout=PATIENCE)
    working = consumers(url, work_queues(), timeout=PATIENCE)
    seen.queues = {
        name: {"waiting": found[name], "dead": found.get(f"{name}.dead"), "workers": working.get(name)}
        for name in work_queues()
    }
    missing = [name for name, depth in found.items() if depth is None]
    wrong = differences(url, timeout=PATIENCE)
    if missing:
        wrong.append(f"missing: {', '.join(missing)}; `conveyor topology` declares them")
    left = [name for name, count in working.items() if not count and found[name]]
    if left:
        wrong.append(f"messages wait, and no worker consumes them: {', '.join(left)}")
    if wrong:
        seen.down["queues"] = "; ".join(wrong)
    if has_alarm(url, timeout=PATIENCE):
        seen.down["broker"] = (
            "RabbitMQ has an alarm and takes no messages: its disk or memory is full (`rabbitmq-diagnostics alarms`)"
        )


def _look_at_redis(seen: Status, settings: Settings) -> None:
    url = settings.require("redis_url")
    limits = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    try:
        with redis.Redis.from_url(url, **limits) as cache:
            cache.ping()
    except redis.RedisError as error:
        refused = refused_redis("redis_url", url) if is_login(error) else None
        seen.down["redis"] = refused or f"Redis cannot be asked: {error}"


def _look_at_database(seen: Status, settings: Settings, service: str) -> None:
    with Databases(settings, PATIENCE, PATIENCE) as databases, databases.reading(service) as connection:
        rows, oldest = connection.execute(_OUTBOX).one()
        seen.outboxes[service] = {"rows": rows, "oldest_seconds": None if oldest is None else round(float(oldest), 3)}
        if service == "sales":
            _look_at_orders(seen, connection)


def _look_at_orders(seen: Status, connection: Connection) -> None:
    counted = connection.execute(_ORDERS).all()
    seen.quarantine = connection.execute(_QUARANTINE).scalar_one()
    seen.orders = {name: count for name, count, _ in sorted(counted)}
    seen.needs_attention = sum(flagged for _, _, flagged in counted)


def _lines(seen: Status) -> Iterator[str]:
    if seen.stack:
        yield f"stack: {seen.stack}"
    if seen.processes:
        yield "processes"
        for each in seen.processes:
            yield f"  {each['name']:<26} {each['pid']:>8}  {each['state']}"
    if seen.gateway:
        services = seen.gateway.get("services", {})
        yield "web: " + ", ".join(f"{name} {state}" for name, state in services.items())
    if seen.queues:
        yield f"queues {'':<21} {'waiting':>8} {'dead':>6} {'workers':>8}"
        for name, queue in seen.queues.items():
            counts = _number(queue["waiting"]), _number(queue["dead"]), _number(queue["workers"])
            yield f"  {name:<26} {counts[0]:>8} {counts[1]:>6} {counts[2]:>8}"
    if seen.outboxes:
        yield f"outboxes {'':<19} {'waiting':>8}"
        for name, outbox in seen.outboxes.items():
            age = f"  the oldest for {outbox['oldest_seconds']:.1f} s" if outbox["rows"] else ""
            yield f"  {name:<26} {_number(outbox['rows']):>8}{age}"
    if seen.orders is not None:
        yield f"orders {'':<21} {sum(seen.orders.values()):>8,}"
        for name, count in seen.orders.items():
            yield f"  {name:<26} {count:>8,}"
        yield f"  {'(need attention)':<26} {_number(seen.needs_attention):>8}"
        yield f"quarantine {'':<17} {_number(seen.quarantine):>8}"
    for source, reason in seen.down.items():
        yield f"DOWN  {source}: {reason}"


def _number(count: float | None) -> str:
    return "-" if count is None else f"{count:,.0f}"
