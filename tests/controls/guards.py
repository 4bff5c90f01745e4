"""The guards of the pipeline, and how each is taken away from outside: in a process, or in a database.

A guard is something that is there so that a death, a duplicate or a late message does no harm. Shipped code has no
switch for any of them. A patch is Python that runs in a process before anything else of it; a constraint or an index is
dropped, and made again after the story.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.crashpoints.sweep import PATIENCE, SERVICES, Sweep, Violation, case

#: Python by the name of the process that it is put in front of.
Scene = Mapping[str, str]
#: Seconds after which something that does not happen is a violation, without the guard.
HASTE = 10.0


@dataclass(frozen=True)
class Guard:
    """What takes a guard away; a ``Guard()`` takes nothing away."""

    patches: Mapping[str, str] = field(default_factory=dict)
    #: Names of constraints and indexes by the service in whose database they are.
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)


def judge(sweep: Sweep, guard: Guard, tell: Callable[[Sweep], None], scene: Scene) -> list[str]:
    """Tell the story without the guard, and check as the sweep does: every violation that was found, a line each."""
    if not scene and guard == Guard():
        return _violations(sweep, tell)
    patches = {name: f"{scene.get(name, '')}\n{guard.patches.get(name, '')}" for name in {*scene, *guard.patches}}
    patience = PATIENCE if guard == Guard() else HASTE
    with _dropped(sweep, guard.dropped), sweep.without(patches, patience):
        return _violations(sweep, tell)


def dies(name: str) -> Callable[[Sweep], None]:
    """The story of this case of the sweep, with its death. What is violated is looked at again: late is not lost."""

    def tell(sweep: Sweep) -> None:
        try:
            sweep.run(case(name))
        except Violation:
            sweep.check()

    return tell


def late(story: Callable[[Sweep], None]) -> Callable[[Sweep], None]:
    """A story in which nobody dies: a message comes twice, late, or together with another."""

    def tell(sweep: Sweep) -> None:
        if sweep.dirty:
            sweep.start_over()
        sweep.dirty, sweep.death = True, None
        sweep.requests.clear()
        sweep.stock.clear()
        story(sweep)
        sweep.check()
        sweep.dirty = False

    return tell


def _violations(sweep: Sweep, tell: Callable[[Sweep], None]) -> list[str]:
    try:
        tell(sweep)
    except Violation as found:
        return str(found).splitlines()
    return []


@contextmanager
def _dropped(sweep: Sweep, names: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Without these; they are made again as they were, once the tables are empty."""
    again = [(service, _drop(sweep, service, name)) for service in names for name in names[service]]
    try:
        yield
    finally:
        for service, statement in again:
            sweep.execute(service, statement)


def _drop(sweep: Sweep, service: str, name: str) -> str:
    """Drop this constraint or index; returns the statement that makes it again."""
    constraint = sweep.ask(
        service,
        "SELECT format('ALTER TABLE %s ', conrelid::regclass), pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = :name",
        name=name,
    )
    if constraint:
        [(alter, definition)] = constraint
        sweep.execute(service, f"{alter} DROP CONSTRAINT {name}")
        return f"{alter} ADD CONSTRAINT {name} {definition}"
    [(definition,)] = sweep.ask(service, "SELECT indexdef FROM pg_indexes WHERE indexname = :name", name=name)
    sweep.execute(service, f"DROP INDEX {name}")
    return str(definition)


RESERVATION_KEY = Guard(dropped={"inventory": ["pk_reservations"]})
RESERVATION_KEY_AND_LEDGER_INDEX = Guard(
    dropped={"inventory": ["pk_reservations", "ix_stock_movements_order_id_product_id_movement_type"]}
)

#: A release of what was never reserved leaves no mark.
STOCK_TOMBSTONES = Guard(
    {
        "worker-inventory": """
from inventory import models
claim = models.claim
models.claim = lambda session, ids, state, refusal=None: set() if refusal else claim(session, ids, state)
"""
    }
)

#: A cancel of what was never dispatched leaves no mark, and is granted.
PARCEL_TOMBSTONES = Guard(
    {
        "worker-delivery": """
from delivery import service
insert, lock, cancel = service.insert_deliveries, service.lock_orders, service._cancel
class Held(dict):
    def __missing__(self, order_id):
        return None
service.insert_deliveries = lambda session, wanted: insert(session, {each: to for each, to in wanted.items() if to})
service.lock_orders = lambda session, ids: Held(lock(session, ids))
service._cancel = lambda order, row: (
    cancel(order, row) if row else service.Answer(order_id=order.order_id, outcome="ok"))
"""
    }
)

#: An order's first message is a transaction of its own, as soon as the order's is committed.
OUTBOX_OF_A_REQUEST = Guard(
    {
        "serve-sales": """
from chassis.database import after_commit, transaction
from chassis.web import database
from sales import chains
enqueue = chains.enqueue
def enqueue_afterwards(session, links):
    def send():
        with transaction(database()) as another:
            enqueue(another, links)
    after_commit(session, send)
    return 0
chains.enqueue = enqueue_afterwards
"""
    }
)

_ENQUEUE_AFTERWARDS = """
from chassis.database import after_commit, transaction
from tasks import patience, step
enqueue = step.enqueue
def enqueue_afterwards(session, *given, **more):
    def send():
        with transaction(patience.sessions_of("inventory")) as another:
            enqueue(another, *given, **more)
    after_commit(session, send)
step.enqueue = enqueue_afterwards
"""
#: In a thread of its own, as another process would send it: nothing of it is in the step's transaction.
_ENQUEUE_AT_ONCE = """
import threading
from chassis.database import transaction
from tasks import patience, step
enqueue = step.enqueue
def enqueue_at_once(session, *given, **more):
    def send():
        with transaction(patience.sessions_of("inventory")) as another:
            enqueue(another, *given, **more)
    sending = threading.Thread(target=send)
    sending.start()
    sending.join()
step.enqueue = enqueue_at_once
"""
_ACKNOWLEDGE_EARLY = """
from tasks.app import app
app.conf.task_acks_late = False
"""
#: A step's next message is sent before the step is committed, or after it.
OUTBOX_OF_A_STEP_BEFORE = Guard({"worker-inventory": _ENQUEUE_AT_ONCE})
OUTBOX_OF_A_STEP = Guard({"worker-inventory": _ENQUEUE_AFTERWARDS})
ACKS_LATE = {each: Guard({f"worker-{each}": _ACKNOWLEDGE_EARLY}) for each in SERVICES}
OUTBOX_OF_A_STEP_AND_ACKS_LATE = Guard({"worker-inventory": _ENQUEUE_AFTERWARDS + _ACKNOWLEDGE_EARLY})

#: Sales has forgotten that it has priced the order, and decides anew.
STORED_DECISIONS = Guard(
    {
        "worker-sales": """
from types import SimpleNamespace
from sales import pricing
lock = pricing.lock_with_lines
def lock_and_forget(session, ids):
    return {each: [SimpleNamespace(**{**row._mapping, "total_amount": None}) for row in rows]
            for each, rows in lock(session, ids).items()}
pricing.lock_with_lines = lock_and_forget
"""
    }
)

#: Delivery does not remember which cancels it has answered.
CANCEL_NUMBERS = Guard(
    {
        "worker-delivery": """
from delivery import service
cancel = service._cancel
def cancel_and_forget(order, delivery):
    delivery.cancel_no = 0
    return cancel(order, delivery)
service._cancel = cancel_and_forget
"""
    }
)

#: Sales believes whatever it is told of a delivery, old news too.
DELIVERY_VERSION = Guard(
    {
        "worker-sales": """
from sales.following import _Following
follow = _Following.follow
def follow_anything(self, message, saga):
    self.delivery_version = -1
    follow(self, message, saga)
_Following.follow = follow_anything
"""
    }
)

#: One of two workers locks products the other way round.
LOCK_ORDER = Guard(
    {
        "worker-inventory": """
from sqlalchemy import text
from inventory import models
models._LOCK_PRODUCTS = text(str(models._LOCK_PRODUCTS).replace("ORDER BY id", "ORDER BY id DESC"))
"""
    }
)

#: Sales' database takes a second order with the same key. Its code has to agree: it names the index.
DATABASE_KEY = Guard(
    {
        "serve-sales": """
from sqlalchemy import insert
from chassis import idempotency
idempotency._insert = lambda session, table, values: session.execute(
    insert(table).values(values).returning(table)).one()
"""
    },
    {"sales": ["ix_orders_client_idempotency_key"]},
)

#: A message that comes back is always believed to come back for the first time.
ATTEMPTS = Guard(
    {
        "worker-inventory": """
from tasks import step
step.count_attempt = lambda session, message_id, error=None: 1
"""
    }
)

#: What a courier tells last decides, whenever it happened.
TIMES_OF_SCANS = Guard(
    {
        "serve-delivery": """
from delivery import scans
scans.status_by_scan = lambda _current, _latest, scanned, _at, _received: scanned
"""
    }
)
