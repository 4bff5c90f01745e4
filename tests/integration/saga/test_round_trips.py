"""How often an order that is alone goes to PostgreSQL and Redis and back: what docs/scaling.md says, counted."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis import database
from chassis.cache import Cache
from chassis.database import open_database, transaction
from chassis.settings import Settings
from conveyor.embedded.valkey import Valkey
from gateway_app.idempotency import Keys
from gateway_app.upstream import Answer
from inventory import service as inventory
from sales.app import attach, create_app
from sales.backlog import Backlog
from tasks.publisher import Outgoing
from tasks.relay import Relay
from tasks.step import Message, work
from tests.integration.saga.paper_broker import HANDLERS
from tests.integration.saga.wire import Wire

PAGE = " ".join((Path(__file__).parents[3] / "docs/scaling.md").read_text().split())
SERVICES = ("sales", "inventory", "delivery")
PROCESSES = ("web-sales", *(f"{kind}-{each}" for kind in ("worker", "relay") for each in SERVICES))


class Postbox:
    """A broker that takes everything."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    def publish(self, messages: list[Outgoing]) -> dict[str, str]:
        self.messages += messages
        return {}


class System:
    """Every process that an order passes, each with a pool of its own, whose wires to PostgreSQL are listened to."""

    def __init__(self, sessions: dict[str, sessionmaker[Session]], settings: Settings, cache: Cache) -> None:
        self.sessions = sessions
        self.postbox = Postbox()
        self.keys = Keys(cache)
        self.relays = {
            each: Relay(sessions[f"relay-{each}"], self.postbox, settings)  # type: ignore[arg-type]
            for each in SERVICES
        }
        app = create_app(settings)
        app.extensions["database"].kw["bind"].dispose()
        attach(app, sessions["web-sales"])
        self.http = app.test_client()

    def prepare(self) -> dict[str, Any]:
        """The body of an order for something that is there; nothing of other tests waits to be sent."""
        for each in SERVICES:
            with transaction(self.sessions[f"relay-{each}"]) as session:
                session.execute(text("DELETE FROM outbox"))
        values = {"sku": uuid7().hex, "name": "Lamp", "price": Decimal("5.00"), "stock_quantity": 10}
        with transaction(self.sessions["worker-inventory"]) as session:
            product = inventory.create_product(session, values, None)[0].id
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        customer = self.http.post("/customers", json=details).json["id"]
        return {"customer_id": customer, "items": [{"product_id": str(product), "quantity": 1}]}

    def order(self, body: dict[str, Any]) -> str:
        """Place it with a key, as through the gateway, and let every message be worked on. Returns its id."""
        key = {"Idempotency-Key": uuid7().hex}

        def ask() -> Answer:
            answered = self.http.post("/orders", json=body, headers=key)
            assert answered.status_code == 201, answered.text
            return Answer(answered.status_code, dict(answered.headers), answered.data)

        answer = self.keys.once("public", key["Idempotency-Key"], "d" * 64, ask)
        sender = "sales"
        while self.relays[sender].round():
            message = self.postbox.messages.pop()
            sender = message.task.partition(".")[0]
            handler, receives = HANDLERS[message.task]
            received = Message(uuid7().hex, message.task, message.bundle, message.links, False, {})
            work(received, sender, handler, receives)
            if not message.links:
                break
        return answer.headers["Location"].rpartition("/")[2]


@pytest.fixture
def heard() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def system(
    databases: Settings, valkey: Valkey, heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    sessions: dict[str, sessionmaker[Session]] = {}
    cache = Cache(valkey.url(), 2)
    with ExitStack() as ending:
        for name in PROCESSES:
            service = name.rpartition("-")[2]
            url = make_url(databases.database_url(service))
            wire = ending.enter_context(Wire.laid(name, url.port or 5432, heard))
            listened_to = url.set(port=wire.port).render_as_string(hide_password=False)
            info: dict[str, Any] = {"cache": cache} if name.startswith("worker") else {}
            if name == "web-sales":
                info["backlog"] = Backlog(databases.max_open_orders)
            told_of_it = replace(databases, **{f"{service}_database_url": listened_to})
            sessions[name] = open_database(service, told_of_it, **info)
            ending.callback(sessions[name].kw["bind"].dispose)
        monkeypatch.setattr("tasks.step.sessions_of", lambda service: sessions[f"worker-{service}"])
        yield System(sessions, databases, cache)


def idle(system: System, heard: list[tuple[str, str]]) -> dict[str, Any]:
    """What an order costs that comes after a while in which none came. Returns the next order's body."""
    body = system.prepare()
    system.order(body)
    time.sleep(database.IDLE * 1.2)  # now every connection has to show that it lives
    heard.clear()
    return body


def told(pattern: str) -> list[int]:
    """The figures that the page names, in this sentence of it."""
    found = re.search(pattern, PAGE)
    assert found, f"docs/scaling.md has no more the sentence: {pattern}"
    return [int(each) for each in found.groups()]


def test_an_idle_order_makes_as_many_round_trips_as_the_page_says(system: System, heard: list[tuple[str, str]]) -> None:
    body = idle(system, heard)

    order = system.order(body)

    sentence = r"an order needs (\d+) round trips when it is alone, (\d+) of them one after the other"
    assert [len(heard), sum(on_the_way(heard))] == told(sentence)
    assert heard.count(("web-sales", "SELECT 1")) == 1
    assert sum(statement == "SELECT 1" for _, statement in heard) == len(PROCESSES)
    assert system.http.get(f"/orders/{order}").json["status"] == "Pending Shipment"


def on_the_way(heard: list[tuple[str, str]]) -> Iterator[bool]:
    """For each statement whether the order waits for it: a relay removes its rows when the message is under way."""
    removing: set[str] = set()
    for process, statement in heard:
        if process.startswith("relay") and statement.startswith("DELETE"):
            removing.add(process)
        yield process not in removing
        if statement == "COMMIT":
            removing.discard(process)


def test_an_idle_order_sends_as_many_commands_to_redis_as_the_page_says(
    system: System, heard: list[tuple[str, str]], valkey: Valkey
) -> None:
    body = idle(system, heard)
    with closing(valkey.client()) as looking:
        before = _commands(looking)
        system.order(body)
        sent = {name: count - before.get(name, 0) for name, count in _commands(looking).items() if name != "info"}
    by_command = {name: count for name, count in sent.items() if count}
    assert [sum(by_command.values())] == told(r"\*\*Redis\.\*\* (\d+) commands an order")
    assert by_command == {"get": 1, "set": 2, "publish": 1}


def _commands(client: Any) -> dict[str, int]:
    """How often each command has been worked on."""
    return {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in client.info("commandstats").items()}
