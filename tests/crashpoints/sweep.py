"""A whole Conveyor that one process at a time is killed in: started once, and kept running from case to case.

A test of a guard (something that is there so that a death does no harm) is a few lines: take the guard out of the
processes that have it, and the same checker that finds nothing otherwise has to find a violation::

    def test_an_outbox_row_outside_of_the_transaction_loses_the_order(sweep: Sweep) -> None:
        with sweep.without({"serve-sales": SEND_AFTER_THE_COMMIT}), pytest.raises(Violation, match="is not Pending"):
            sweep.run(case("sales POST /orders: after commit"))

``without`` takes Python for each process by its name (also those that are not killed), which runs in it before
anything else, the one that is started after the death included; afterwards all of them are as they were and the
databases are empty. A guard in a database is dropped inside, with ``sweep.execute(service, "DROP INDEX ...")``, and
made again in a ``finally``. ``case(id)`` finds a case by its name; ``sweep.run`` raises ``Violation`` where an
invariant does not hold, and ``NeverReached`` (no violation: a mistake in the test) where nothing died at the point.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import redis
import urllib3
from kombu import Connection, Producer
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE, dead_queue, task_queues
from chassis.settings import Settings
from conveyor.embedded.valkey import Valkey
from conveyor.reconcile.run import Findings, reconcile
from tests.crashpoints.points import Case, cases, sender
from tests.e2e.shop import Answer, Shop
from tests.integration.pipeline.processes import Pipeline, wait_until

#: Seconds within which an order must have ended, a process died, a leftover gone.
PATIENCE = 30.0
SERVICES = ("sales", "inventory", "delivery")
NEIGHBOURS = (
    *(f"{kind}-{service}" for kind in ("worker", "relay", "serve") for service in SERVICES),
    "serve-gateway",
    "sweeper",
    "quarantine",
)
#: Where a request's Idempotency-Key ends up, by the end of its path.
KEYED = {
    "orders": ("sales", "orders"),
    "customers": ("sales", "customers"),
    "products": ("inventory", "products"),
    "stock": ("inventory", "stock_movements"),
}
#: The next message of a task gets one more order, or is held back; from outside, in the transaction that sends it.
INTERCEPT = """
CREATE TABLE poison (task text PRIMARY KEY, message json);
CREATE TABLE holding (task text PRIMARY KEY);
CREATE TABLE held (LIKE outbox);
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad json;
BEGIN
    DELETE FROM poison WHERE task = NEW.task RETURNING message INTO bad;
    IF FOUND THEN NEW.bundle = (NEW.bundle::jsonb || jsonb_build_array(bad::jsonb))::json; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM holding WHERE task = NEW.task;
    IF FOUND THEN INSERT INTO held VALUES (NEW.*); DELETE FROM outbox WHERE id = NEW.id; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER poison BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION poison();
CREATE TRIGGER hold AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION hold();
"""

#: The ledger refuses to be emptied, as it should.
_EMPTY = """
DO $$
DECLARE
    names text[] := ARRAY(SELECT quote_ident(tablename) FROM pg_tables
                          WHERE schemaname = 'public' AND tablename <> 'alembic_version');
    name text;
BEGIN
    FOREACH name IN ARRAY names LOOP EXECUTE 'ALTER TABLE ' || name || ' DISABLE TRIGGER USER'; END LOOP;
    EXECUTE 'TRUNCATE ' || array_to_string(names, ', ');
    FOREACH name IN ARRAY names LOOP EXECUTE 'ALTER TABLE ' || name || ' ENABLE TRIGGER USER'; END LOOP;
END $$
"""


class Violation(AssertionError):
    """An invariant does not hold: the message has a line for each."""


class NeverReached(Exception):
    """The process did not die, or not at its point: nothing was tried."""


def case(name: str) -> Case:
    """The case with this id."""
    return next(each for each in cases() if each.id == name)


@dataclass
class Request:
    """One request of a client's, sent until it is answered, always with the same key."""

    shop: Shop
    method: str
    path: str
    body: Any = None
    key: str | None = None
    #: Statuses that say that it was done before.
    done: tuple[int, ...] = ()
    answers: list[Answer] = field(default_factory=list)

    def attempt(self) -> Answer | None:
        """Send it once; None where no answer came, or one that says to try again."""
        headers = {"Idempotency-Key": self.key} if self.key else {}
        try:
            answer = self.shop.send(self.method, self.path, self.body, **headers)
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status >= 500:
            return None
        if answer.status >= 300 and answer.status not in self.done:
            raise Violation(f"{self.method} {self.path} was refused: {answer.status} {answer.body}")
        self.answers.append(answer)
        return answer

    def insist(self) -> dict[str, Any]:
        """Send it until it is answered. Returns the answer's body."""
        count = len(self.answers)
        wait_until(lambda: self.attempt() or len(self.answers) > count, PATIENCE)
        return dict(self.answers[-1].body)


class Sweep:
    """The running system, the client before it, and what must be true of it."""

    def __init__(self, pipeline: Pipeline, settings: Settings, valkey: Valkey) -> None:
        """``pipeline`` has databases and a virtual host of its own; ``settings`` lead there."""
        self.pipeline = pipeline
        self.settings = settings
        self.valkey = valkey
        self.guards_off: dict[str, str] = {}
        self.patience = PATIENCE
        self.requests: list[Request] = []
        self.stock: dict[str, int] = {}
        self.death: Death | None = None
        self.dirty = False
        for service in SERVICES:
            self.execute(service, INTERCEPT)

    def start(self) -> None:
        """Start everything and wait until it works."""
        for name in NEIGHBOURS:
            self._spawn(name, wait=False)
        self.pipeline.wait_for_ready()
        self.shop = Shop(self, urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=15)))

    def run(self, case: Case) -> None:
        """Kill the process there, start it again, and check. Raises Violation, NeverReached."""
        from tests.crashpoints.stories import STORIES, after_poison

        if self.dirty:
            self.start_over()
        self.dirty = True
        self.requests.clear()
        self.stock.clear()
        self.death = Death(self, case)
        try:
            if case.place.poisons:
                after_poison(self, self.death, case.place.poisons)
            else:
                STORIES[case.place.story](self, self.death)
        except Violation as violation:
            if self.death.happened:
                raise
            raise NeverReached(f"{case.id}: something went wrong before the death: {violation}") from violation
        if not self.death.happened:
            raise NeverReached(f"{case.id}: the story {case.place.story} has no death in it")
        self.check()
        self.dirty = False

    @contextmanager
    def without(self, guards: Mapping[str, str], patience: float = 10.0) -> Iterator[None]:
        """With these patches in these processes: ``{"worker-sales": python}``; afterwards all is as it was.

        ``patience``: seconds after which something that does not happen is a violation.
        """
        self.guards_off, self.patience = dict(guards), patience
        for name in guards:
            self.restart(name)
        try:
            yield
        finally:
            self.guards_off, self.patience = {}, PATIENCE
            self.start_over()

    # Processes

    def restart(self, name: str, patch: str = "") -> None:
        """Kill a process if it runs, and start it; with a patch it may be dead again before it is ready."""
        if name in self.pipeline.running:
            self.pipeline.kill(name)
        if name.startswith("serve-"):
            # The worker of a web process needs a moment to notice that its master is gone.
            wait_until(lambda: not self.pipeline.ready(name), PATIENCE)
        self._spawn(name, patch)

    def _spawn(self, name: str, patch: str = "", wait: bool = True) -> None:
        kind, _, service = name.partition("-")
        # Each in a namespace of its own: they know nothing of each other's names.
        both = f"exec({self.guards_off.get(name, '')!r}, {{}})\nexec({patch!r}, {{}})"
        self.pipeline.start(kind, service, both, wait=wait)

    def command(self, *arguments: str, done: str | None = None) -> int:
        """Run ``conveyor ARGUMENTS`` as an operator would; it dies where the case says so. Returns its exit code.

        ``done`` is what it says where it was done before.
        """
        patch = ""
        if self.death and not self.death.happened and self.death.process == " ".join(arguments[:2]):
            patch = self.death.patch
        code = f"exec({patch!r}, {{}})\nfrom conveyor.cli import main\nmain({list(arguments)!r})"
        name = f"command-{uuid7().hex}"
        process = self.pipeline.fork(name, code)
        wait_until(lambda: not process.alive(), PATIENCE)
        status = process.exit_code()
        if self.death:
            self.death.codes.append(status)
        if status not in (0, 137):
            said = (self.pipeline.folder / f"{name}.log").read_text()
            if done is None or done not in said:
                raise Violation(f"conveyor {' '.join(arguments)}: {said}")
        return status

    def kill_all(self) -> None:
        for name in list(self.pipeline.running):
            self.pipeline.kill(name)

    def start_over(self) -> None:
        """Empty databases, queues and Redis, and every process started anew: what a case has broken is gone."""
        self.kill_all()
        for service in SERVICES:
            self.execute(service, _EMPTY)
        with Connection(self.settings.broker_url) as connection, connection.channel() as channel:
            for queue in task_queues:
                channel.queue_purge(queue.name)
                channel.queue_purge(dead_queue(queue.name).name)
        self.forget_redis()
        for name in NEIGHBOURS:
            if name.startswith("serve-"):
                wait_until(lambda name=name: not self.pipeline.ready(name), PATIENCE)
        self.start()
        self.dirty = False

    def forget_redis(self) -> None:
        """FLUSHALL: nothing in there is the only copy of anything."""
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    # What the clients, operators and the outside world do

    def setting(self, name: str) -> str:
        """For ``Shop``: where the gateway is."""
        return str(getattr(self.settings, name))

    def ask(self, service: str, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self.pipeline.ask(service, query, **values)

    def execute(self, service: str, statement: str, *values: object) -> None:
        """A statement on this service's database, in a transaction of its own."""
        with self.pipeline.sessions[service].begin() as session:
            session.connection().exec_driver_sql(statement, values)

    def request(self, method: str, path: str, body: Any = None, *, keyed: bool = False, **more: Any) -> Request:
        """A request that the checker will ask about; ``keyed`` gives it an Idempotency-Key."""
        self.requests.append(Request(self.shop, method, path, body, uuid7().hex if keyed else None, **more))
        return self.requests[-1]

    def place(self, product: str, units: int = 1) -> Request:
        """An order for this product."""
        return self.request("POST", "/orders", self.shop.draft(product, units), keyed=True)

    def add_product(self, stock: int = 10) -> str:
        """A product whose stock must be that in the end, but for what ``expect`` says."""
        body = {"sku": uuid7().hex, "name": "Lamp", "price": "2.50", "stock_quantity": stock}
        product = str(self.request("POST", "/products", body, keyed=True).insist()["id"])
        self.stock[product] = stock
        return product

    def shipped(self, product: str, units: int = 1) -> str:
        """An order that has become Pending Shipment."""
        order = str(self.place(product, units).insist()["id"])
        self.stock[product] -= units
        self.becomes(order, "Pending Shipment")
        return order

    def becomes(self, order: str, status: str) -> None:
        """Wait until the order is this. Raises Violation."""
        query = "SELECT status FROM orders WHERE id = :order"
        self.until(lambda: self.ask("sales", query, order=order) == [(status,)], f"order {order} is not {status}",
                   lambda: self.ask("sales", query, order=order))  # fmt: skip

    def until(self, holds: Callable[[], object], otherwise: str, seen: Callable[[], object] = lambda: "") -> None:
        """Wait until this holds. Raises Violation."""
        try:
            wait_until(holds, self.patience)
        except TimeoutError:
            raise Violation(f"{otherwise} after {self.patience:.0f} s: {seen()}") from None

    def poison(self, task: str, order: str) -> None:
        """The next message of this task gets a second order, which cannot be read and names this one."""
        message = json.dumps({"order_id": order, "kind": "poison", "no": 1, "outcome": 7})
        self.execute(sender(task), "INSERT INTO poison VALUES (%s, %s)", task, message)

    def hold(self, task: str) -> None:
        """Hold the next message of this task back until ``let_go``."""
        self.execute(sender(task), "INSERT INTO holding VALUES (%s)", task)

    def held(self) -> int:
        """How many messages are held back."""
        return sum(self.ask(service, "SELECT count(*) FROM held")[0][0] for service in SERVICES)

    def let_go(self) -> None:
        """Send the messages that were held back."""
        for service in SERVICES:
            self.execute(
                service,
                "WITH gone AS (DELETE FROM held RETURNING *)"
                " INSERT INTO outbox (task, links, bundle, alone) SELECT task, links, bundle, alone FROM gone",
            )

    def publish(self, queue: str, task: str, bundle: list[Any], links: list[Any]) -> None:
        """Put a message into this queue, right or wrong."""
        message_id = str(uuid7())
        headers = {"lang": "py", "task": task, "id": message_id, "root_id": message_id, "ignore_result": True}
        body = [[bundle], {}, {"chain": list(reversed(links)) or None}]
        with Connection(self.settings.broker_url) as connection:
            Producer(connection.channel(), auto_declare=False).publish(
                body,
                exchange=EXCHANGE.name,
                routing_key=queue,
                headers=headers,
                serializer="json",
                correlation_id=message_id,
            )

    # What must be true

    def check(self) -> None:
        """The promises of the design, over the three databases and the broker. Raises Violation, a line for each."""
        self.goes_on()
        found = [*self._leftovers(), *self._requests(), *self._stock()]
        found += [
            f"{each.kind} {each.id}: {each.found}; should be: {each.expected}"
            for each in reconcile(self.settings, Findings(), settle=1.0, settled=True)
        ]
        if found:
            raise Violation("\n".join(found))

    def goes_on(self) -> None:
        """One more order goes the whole way, and by queue behind whatever the death has left."""
        self.shipped(self.add_product(1))

    def at_rest(self) -> bool:
        """Whether no message waits in an outbox, and none has been begun and not finished."""
        query = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM attempts)"
        return all(self.ask(service, query) == [(0,)] for service in SERVICES)

    def _leftovers(self) -> Iterator[str]:
        for service in SERVICES:
            for table in ("outbox", "attempts", "held", "poison"):
                query = f"SELECT count(*) FROM {table}"
                try:
                    wait_until(lambda: self.ask(service, query) == [(0,)], self.patience)  # noqa: B023
                except TimeoutError:
                    yield f"leftover: {self.ask(service, query)[0][0]} rows stay in {table} of {service}"
        for (order,) in self.ask("sales", "SELECT id FROM orders WHERE needs_attention"):
            yield f"flag: order {order} is flagged"
        for message, reason in self.ask("sales", "SELECT message_id, reason FROM quarantine WHERE state = 'waiting'"):
            yield f"quarantine: message {message} waits: {reason}"
        # A scan of a parcel that is cancelled changes nothing; of one that is not, a courier's may be late.
        query = (
            "SELECT order_id, version, (SELECT count(*) FROM delivery_logs AS entry WHERE delivery_id = deliveries.id"
            " AND NOT EXISTS (SELECT FROM delivery_logs AS before WHERE before.delivery_id = deliveries.id"
            " AND before.id < entry.id AND before.status = 'CANCELLED')),"
            " EXISTS (SELECT FROM delivery_logs WHERE delivery_id = deliveries.id AND event_id IS NOT NULL)"
            " FROM deliveries"
        )
        for order, version, changes, late in self.ask("delivery", query):
            if version > changes or (version < changes and not late):
                yield f"log: the delivery of {order} is at version {version} and has changed {changes} times"

    def _requests(self) -> Iterator[str]:
        """What was answered is there, once, and every further answer speaks of the same row."""
        self.forget_redis()
        for request in self.requests:
            if not request.key or not request.answers:
                continue
            request.insist()  # and without Redis: the database knows the key
            made = {_id_of(each.body) for each in request.answers}
            service, table = KEYED[request.path.rpartition("/")[2]]
            rows = self.ask(service, f"SELECT id FROM {table} WHERE idempotency_key = :key", key=request.key)
            if {str(row[0]) for row in rows} != made or len(made) != 1 or len(rows) != 1:
                yield f"request: {request.path} was answered with {sorted(made)}; the rows are {rows}"

    def _stock(self) -> Iterator[str]:
        for product, units in self.stock.items():
            [(there,)] = self.ask("inventory", "SELECT stock_quantity FROM products WHERE id = :id", id=product)
            if there != units:
                yield f"stock: {there} units of {product}; should be: {units}, by what was ordered"


class Death:
    """``with death:`` the patched process runs; at the end it has died at its point, and a whole one runs in its place.

    What the client does inside may go unanswered.
    """

    def __init__(self, sweep: Sweep, case: Case) -> None:
        self._sweep = sweep
        self._case = case
        self._evidence = sweep.pipeline.folder / f"{uuid7().hex}.died"
        self.process = case.place.process
        self.patch = case.patch(str(self._evidence))
        #: What has to be done once the patched process runs, before anything else.
        self.first: Callable[[], None] = lambda: None
        self.codes: list[int | None] = []
        self.happened = False

    def __enter__(self) -> Self:
        if self.process in NEIGHBOURS:
            self._sweep.restart(self.process, self.patch)
        self.first()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            return
        if self.process in NEIGHBOURS:
            self._await()
        said = self._evidence.read_text() if self._evidence.exists() else "nothing"
        # A web process has a master, which ends with 1 when the process that the app lives in has died.
        wanted = 1 if self.process.startswith("serve-") else 137
        if said != self._case.id or self.codes != [wanted]:
            raise NeverReached(f"{self._case.id}: ended with {self.codes} and said: {said}{self._log()}")
        self.happened = True
        if self.process in NEIGHBOURS:
            self._sweep.restart(self.process)

    def _await(self) -> None:
        running = self._sweep.pipeline.running
        try:
            wait_until(lambda: self._sweep.pipeline.dead(self.process), PATIENCE)
        except TimeoutError:
            raise NeverReached(f"{self._case.id}: {self.process} still lives{self._log()}") from None
        self.codes.append(running[self.process].exit_code())

    def _log(self) -> str:
        log = self._sweep.pipeline.folder / f"{self.process}.log"
        return f"\n{log.read_text()[-3000:]}" if log.exists() else ""


def _id_of(body: Mapping[str, Any]) -> str:
    return str(UUID(body["movement"]["id"] if "movement" in body else body["id"]))
