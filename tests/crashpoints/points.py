"""THE table of crash points: every moment between two effects at which a process can die.

A ``Point`` is a moment in one kind of work; ``PLACES`` says which processes do such work, and ``cases()`` crosses the
two. Every case is a real process that is killed there by a patch which the test puts in front of it (``dying.py``).
A point that is one and the same moment as another in our code is in ``SAME``, with the reason, and is not run twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from celeryconfig import QUEUE_OF_TASK


@dataclass(frozen=True, slots=True)
class Point:
    """A moment at which a process can die. ``moment`` is Python, in the words of ``dying.py``."""

    name: str
    #: What is done and what is not, for whoever looks at what is left behind.
    left_behind: str
    moment: str


@dataclass(frozen=True, slots=True)
class Place:
    """Work that a process does, in which it dies. ``work`` is Python, in the words of ``dying.py``."""

    name: str
    #: The process, as the test's world calls it: "worker-sales", "serve-gateway".
    process: str
    #: Which story of ``stories.py`` brings the process there.
    story: str
    work: str
    points: tuple[Point, ...]
    #: What ``work`` and the points' moments speak of.
    imports: str = ""
    #: The task whose message is poisoned, where that is the story.
    poisons: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One death: this process, at this point of this work."""

    place: Place
    point: Point

    @property
    def id(self) -> str:
        return f"{self.place.name}: {self.point.name}"

    def patch(self, evidence: str) -> str:
        """The Python that makes the process die there; ``evidence`` is the file in which it says so."""
        return (
            f"from tests.crashpoints.dying import *\n{self.place.imports}\n"
            f"die({self.id!r}, {evidence!r}, {self.place.work}, {self.point.moment})"
        )


BEFORE_COMMIT = Point("before commit", "all rows written, none of them to be seen", "before_commit")
AFTER_COMMIT = Point("after commit", "everything is committed, nobody has been told", "after_commit")


def written(table: str, name: str = "after insert") -> Point:
    return Point(name, f"a row of {table} is written and not committed", f'after_writing("{table}")')


OUTBOX_INSERT = written("outbox", "after the outbox insert")


# Requests. The record of the Idempotency-Key is in the row that the request creates, so it comes with "after insert".


def _request(process: str, name: str, endpoint: str, story: str, *points: Point) -> Place:
    work = f"in_request({endpoint!r})"
    return Place(f"{process} {name}", f"serve-{process}", story, work, (*points, BEFORE_COMMIT, AFTER_COMMIT))


REQUESTS = (
    _request("sales", "POST /orders", "sales.place_order", "place", written("orders"), OUTBOX_INSERT),
    _request("sales", "POST /customers", "sales.register_customer", "register", written("customers")),
    _request("sales", "POST cancel", "sales.cancel_order", "cancel", written("orders"), OUTBOX_INSERT),
    _request("sales", "PUT status", "sales.change_status", "move", written("orders"), OUTBOX_INSERT),
    _request("sales", "PUT status Cancelled", "sales.change_status", "cancel_by_status", written("orders"),
             OUTBOX_INSERT),
    _request("sales", "POST resume", "operators.resume_order", "resume", written("orders"), OUTBOX_INSERT),
    _request("sales", "POST compensate", "operators.compensate_order", "compensate", written("orders"), OUTBOX_INSERT),
    _request("sales", "POST replay", "operators.replay_message", "replay", written("quarantine"), OUTBOX_INSERT),
    _request("sales", "POST drop", "operators.drop_message", "drop", written("quarantine"),
             written("quarantine_actions", "after it is on record")),
    _request("inventory", "POST /products", "products.create_product", "add_product", written("products"),
             written("stock_movements", "after the opening stock")),
    _request("inventory", "PATCH /products", "products.change_product", "change_product", written("products")),
    _request("inventory", "POST stock", "products.adjust_stock", "adjust_stock", written("stock_movements"),
             written("products", "after the stock is changed")),
    _request("delivery", "PATCH status", "deliveries.move_delivery", "courier", written("deliveries"),
             written("delivery_logs", "after the log entry"), OUTBOX_INSERT),
    _request("delivery", "PATCH status of a cancelled one", "deliveries.move_delivery", "scan",
             written("delivery_logs", "after the log entry"), OUTBOX_INSERT),
    _request("delivery", "POST /deliveries", "deliveries.open_delivery", "open_delivery", written("deliveries")),
)  # fmt: skip

SOUGHT = Point("after the key is looked up", "Redis has no answer, nobody makes one", 'after_call(Keys, "_find")')
ANSWERED = Point("after the upstream answered", "it is done, the answer is nowhere", 'after_call(Upstream, "send")')
STORED = Point("after storing", "the answer is in Redis, the client has none", 'after_call(Keys, "_keep")')


def _gateway(route: str, story: str, *points: Point) -> Place:
    imports = "from gateway_app.idempotency import Keys; from gateway_app.upstream import Upstream"
    return Place(f"gateway {route}", "serve-gateway", story, f"in_request({route!r})", points, imports)


GATEWAY = (
    _gateway("POST /orders", "place", SOUGHT, ANSWERED, STORED),
    _gateway("POST /customers", "register", SOUGHT, ANSWERED, STORED),
    _gateway("POST /products", "add_product", SOUGHT, ANSWERED, STORED),
    _gateway("POST /products/<uuid:product_id>/stock", "adjust_stock", SOUGHT, ANSWERED, STORED),
    _gateway("POST /orders/<uuid:order_id>/cancel", "cancel", ANSWERED),
    _gateway("PATCH /orders/<uuid:order_id>/status", "move", ANSWERED),
    _gateway("PATCH /products/<uuid:product_id>", "change_product", ANSWERED),
    _gateway("PATCH /deliveries/<serial_or_uuid:delivery_id>/status", "courier", ANSWERED),
)

# Steps, each in every chain that it is a link of.

EFFECT = Point("after the effect", "the step has decided, no message is written", 'before_call(step, "_answered")')
ACK = Point("before acknowledgement", "all is committed, the message comes again", "before_acknowledgement")
LINK = (EFFECT, OUTBOX_INSERT, BEFORE_COMMIT, AFTER_COMMIT, ACK)
LAST_LINK = (EFFECT, BEFORE_COMMIT, AFTER_COMMIT, ACK)
NOTHING_LEFT = (EFFECT, ACK)  # nothing is written, so there is nothing between the decision and the acknowledgement
STEP = "from tasks import step"

#: Each story's chain: the kind of its message, and its links.
CHAINS = {
    "place": ("place", "inventory.check_availability", "sales.record_inventory_response", "inventory.reserve_stock",
              "delivery.create_delivery", "sales.update_order_status"),
    "cancel": ("cancel", "delivery.cancel_delivery", "inventory.release_stock", "sales.update_order_status"),
    "move": ("move", "delivery.update_delivery", "sales.update_order_status"),
    "report": ("report", "delivery.report_status", "sales.update_order_status"),
    "courier": ("delivery", "sales.update_order_status"),
    "scan": ("scan", "sales.update_order_status"),
    "fault": ("poison", "sales.record_fault"),
    "refused": ("place", "inventory.check_availability", "sales.record_inventory_response"),
    "late": ("place", "inventory.reserve_stock", "delivery.create_delivery", "sales.update_order_status"),
}  # fmt: skip


def _worker(task: str) -> str:
    return f"worker-{task.partition('.')[0]}"


def _steps() -> Iterator[Place]:
    for story, (kind, *tasks) in CHAINS.items():
        for task in tasks:
            ends = task in ("sales.update_order_status", "sales.record_fault") or (
                story == "refused" and task == "sales.record_inventory_response"
            )
            points = NOTHING_LEFT if story == "late" and ends else LAST_LINK if ends else LINK
            yield Place(f"{task} ({story})", _worker(task), story, f"in_step({task!r}, {kind!r})", points, STEP)


#: The chain in which a task's message is poisoned; its first order is an innocent one, and so is its kind.
POISONED = {task: (story, kind) for story, (kind, *tasks) in reversed(CHAINS.items()) for task in tasks}


def sender(task: str) -> str:
    """The service in whose database the message of this task is written, in the chain that ``POISONED`` names."""
    story = POISONED[task][0]
    links = CHAINS[story][1:]
    if story == "fault":
        return "inventory"  # the fault is a check's
    before = links.index(task) - 1
    return links[before].partition(".")[0] if before >= 0 else "sales"


COUNTED = written("attempts", "after the count")
SPLIT = (OUTBOX_INSERT, BEFORE_COMMIT, AFTER_COMMIT, ACK)
COUNT = (COUNTED, BEFORE_COMMIT, AFTER_COMMIT)
FORGET = (written("attempts", "after the count is forgotten"), BEFORE_COMMIT, AFTER_COMMIT, ACK)


def _faults() -> Iterator[Place]:
    for task in QUEUE_OF_TASK:
        kind = POISONED[task][1]
        given_up = ("forget_attempts", FORGET) if task == "sales.record_fault" else ("_record_fault", SPLIT)
        for name, first, path, points in (
            ("split", kind, "_split", SPLIT),
            ("count", "poison", "count_attempt", COUNT),
            ("fault", "poison", *given_up),
        ):
            work = f"in_step({task!r}, {first!r}, {path!r})"
            yield Place(f"{task}, {name}", _worker(task), "poisoned", work, points, STEP, task)


STEPS = (*_steps(), *_faults())

RELAY = (
    Point("after the claim", "rows are locked, nothing is sent", 'before_call(Publisher, "publish")'),
    Point("after sending", "the broker may have it, no confirm is read", 'before_call(Publisher, "_await_confirms")'),
    Point("after publish", "the broker has confirmed, the rows are still there", 'after_call(Publisher, "publish")'),
    Point("after the delete is written", "rows are deleted and not committed", 'after_writing("outbox")'),
    Point("before the delete is committed", "the same, at the commit", "before_commit"),
    Point("after the delete", "the rows are gone", "after_commit"),
)  # fmt: skip
RELAYS = tuple(
    Place(f"relay {service}", f"relay-{service}", "place", 'in_call(Relay, "_move")', RELAY,
          "from tasks.relay import Publisher, Relay")
    for service in ("sales", "inventory", "delivery")
)  # fmt: skip

QUARANTINE = (
    Place(
        "quarantine",
        "quarantine",
        "dead_letter",
        'in_call(Quarantine, "_keep")',
        (
            Point("after the letter is read", "nothing is written", 'after_call(quarantine, "read_letter")'),
            written("quarantine", "after the row is kept"),
            written("orders", "after the order is flagged"),
            BEFORE_COMMIT,
            AFTER_COMMIT,
            Point("before acknowledgement", "the row is kept, the letter is there", 'before_call(Message, "ack")'),
            Point("after acknowledgement", "the letter may be gone", 'after_call(Message, "ack")'),
        ),
        "from tasks import quarantine; from tasks.quarantine import Message, Quarantine",
    ),
)


def _round(name: str, function: str, story: str, *points: Point) -> Place:
    work = f'in_transaction_of(sweeping, "{function}")'
    return Place(f"sweeper, {name}", "sweeper", story, work, (*points, BEFORE_COMMIT, AFTER_COMMIT),
                 "from sales import sweeping")  # fmt: skip


RESENT = written("outbox", "after the re-send row")
SWEEPER = (
    _round("a lost place chain", "move_on", "lost_place", RESENT),
    _round("a lost cancel chain", "move_on", "lost_cancel", RESENT),
    _round("an order lost too often", "move_on", "lost_too_often", written("orders", "after the order is flagged")),
    _round("a silent parcel", "ask_delivery", "report", written("orders", "after the order is marked"), RESENT),
    _round(
        "rows from the future",
        "put_clock_right",
        "clock_back",
        written("order_sagas", "after the chains are put right"),
        written("orders", "after the parcels are put right"),
    ),
    _round("old keys", "forget_old_keys", "old_keys", written("customers", "after the key is forgotten")),
)


def _command(name: str, story: str, *points: Point) -> Place:
    return Place(name, name, story, "anywhere", points)


#: Operators' commands that change something; each is a process of its own that works on the databases directly.
COMMANDS = (
    _command("order resume", "resume", OUTBOX_INSERT, BEFORE_COMMIT, AFTER_COMMIT),
    _command("order compensate", "compensate", OUTBOX_INSERT, BEFORE_COMMIT, AFTER_COMMIT),
    _command("quarantine replay", "replay", OUTBOX_INSERT, BEFORE_COMMIT, AFTER_COMMIT),
    _command("quarantine drop", "drop", written("quarantine_actions", "after it is on record"), BEFORE_COMMIT,
             AFTER_COMMIT),
    _command("reconcile --repair", "repair", written("repairs", "after it is on record"), BEFORE_COMMIT, AFTER_COMMIT),
    _command(
        "orphan give-up",
        "orphan",
        written("deliveries", "after the parcel is stopped"),
        written("reservations", "after the stock is back"),
        *(Point(f"after commit {number} of 3", "delivery first, then inventory, then sales", f"after_commits({number})")
          for number in (1, 2, 3)),
    ),
)  # fmt: skip

PLACES = (*REQUESTS, *GATEWAY, *STEPS, *RELAYS, *QUARANTINE, *SWEEPER, *COMMANDS)

#: What of the command line has no points of its own, and why it can die anywhere all the same. What is neither here nor
#: in a place of the table fails a test: ``conveyor NAME`` by its name.
WITHOUT_POINTS = {
    "run": "starts and stops the others; it holds no data",
    "reset": "deletes the data of a stack that does not run; run again, it deletes the rest",
    "migrate": "each revision is one transaction; tried in tests/integration/chassis/test_migrations.py",
    "topology": "declares what is missing; run again, it declares the rest",
    "catalogue load": "sends requests with keys to the gateway, whose points these are",
    "replay": "the same; sent again with the same book, nothing is ordered twice",
    "product add": "one request to the gateway, with a key",
    "product change": "one request to the gateway",
    "product list": "reads",
    "product lookalikes": "reads",
    "product show": "reads",
    "stock adjust": "one request to the gateway, with a key",
    "stock check": "reads",
    "stock ledger": "reads",
    "stock list": "reads",
    "customer add": "one request to the gateway, with a key",
    "customer doubles": "reads",
    "customer list": "reads",
    "customer show": "reads",
    "delivery list": "reads",
    "delivery move": "one request to the gateway",
    "delivery show": "reads",
    "order place": "one request to the gateway",
    "order cancel": "one request to the gateway",
    "order list": "reads",
    "order show": "reads",
    "order watch": "reads",
    "quarantine list": "reads",
    "quarantine show": "reads",
    "status": "reads",
    "logs": "reads",
    "orphan keep": "one row in one transaction of one database",
    "latency": "a client: requests to the gateway",
    "bench": "a client, on a stack of its own",
    "chaos": "a client that kills others, on a stack of its own",
    "flower": "shows what it hears; it holds nothing",
}

#: Points of the plan that are another one here, and why.
SAME = {
    "request: after the idempotency record": "after insert: key and hash are columns of the row that is created",
    "request: before the answer": "after commit: nothing is done in between but waking the relay, which may be lost",
    "gateway: before storing": "after the upstream answered: nothing is done in between",
    "last link: after the outbox insert": "after the effect: update_order_status and record_fault send nothing",
}


def cases() -> list[Case]:
    """Every death of the sweep, those of one process together."""
    crossed = [Case(place, point) for place in PLACES for point in place.points]
    return sorted(crossed, key=lambda each: each.place.process)


#: A few of each kind for `make test`; all of them are `make crashpoints`.
SAMPLE = (
    "sales POST /orders: after commit",
    "gateway POST /orders: after the upstream answered",
    "inventory.reserve_stock (place): before acknowledgement",
    "sales.update_order_status (cancel): after the effect",
    "delivery.create_delivery, split: after commit",
    "relay sales: after publish",
    "quarantine: before acknowledgement",
    "sweeper, a lost place chain: after commit",
)
