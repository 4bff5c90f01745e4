"""An upgrade under way: the release before at work, its databases migrated under it, both releases side by side.

The old code is the real one, checked out of its commit; its workers, relays and web processes run on its own.
"""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from chassis.database import open_database
from chassis.settings import Settings, settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from conveyor.reconcile.run import Findings, reconcile
from tests.conftest import SERVICES
from tests.integration.pipeline.processes import ROOT, Pipeline, run_command, wait_until

pytestmark = pytest.mark.rabbitmq

#: An order of seven stands in the middle of its reservation, which is done and not yet committed.
STANDS = """
import os, time
from inventory import service
reserve = service.reserve_stock
def reserve_and_stand(session, orders):
    answers = reserve(session, orders)
    if any(line.quantity == 7 for order in orders for line in order.lines):
        open("standing", "w").close()
        while not os.path.exists("go-on"):
            time.sleep(0.02)
    return answers
service.reserve_stock = reserve_and_stand
"""
PLACE = ("inventory.check_availability", "sales.record_inventory_response", "inventory.reserve_stock",
         "delivery.create_delivery", "sales.update_order_status")  # fmt: skip
CANCEL = ("delivery.cancel_delivery", "inventory.release_stock", "sales.update_order_status")
LAST_OF_PLACE = PLACE[-2:]
HOPS = {*pairwise(PLACE), *pairwise(CANCEL)}
#: The services whose workers are ours, one after the other: each pair of services works in both mixtures. Where both
#: releases have a worker, the broker's turns may send every order along the same two paths.
UPGRADED = ({"sales"}, {"sales", "inventory"}, {"inventory"}, {"inventory", "delivery"}, {"delivery"},
            {"delivery", "sales"}, {*SERVICES})  # fmt: skip


class Shop:
    """The HTTP side of one release, and what happens to the orders that come in through it."""

    def __init__(self, pipeline: Pipeline, tree: Path, *services: str) -> None:
        self.pipeline, self.tree = pipeline, tree
        self.ports = {each: free_port() for each in services}
        for each, port in self.ports.items():
            pipeline.start("serve", each, wait=False, tree=tree, **{f"CONVEYOR_{each.upper()}_PORT": str(port)})
        for each in services:
            wait_until(lambda each=each: self._answers(each))

    def _answers(self, service: str) -> bool:
        try:
            self.ask(service, "GET", "/health/ready")
        except OSError:
            return False
        return True

    def ask(self, service: str, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def scan(self, parcel: str, status: str, **said: str) -> tuple[str, int]:
        """A courier reports; what the parcel is then, and its version."""
        body = {"status": status, **said}
        answer = self.ask("delivery", "PATCH", f"/deliveries/{parcel}/status", body)
        return answer["status"], answer["version"]

    def place(self, product: str, quantity: int = 1) -> UUID:
        lines = [{"product_id": product, "quantity": quantity}]
        draft = {"customer_id": str(self.pipeline.customer), "items": lines}
        return UUID(self.ask("sales", "POST", "/orders", draft)["id"])

    def cancel(self, order: UUID) -> UUID:
        self.ask("sales", "POST", f"/orders/{order}/cancel")
        return order


@pytest.fixture
def upgrading(
    postgres: Postgres, databases: Settings, rabbitmq: RabbitMQ, valkey: Valkey, tmp_path: Path, tree_before: Path
) -> Iterator[Pipeline]:
    """Three databases and a virtual host that the release before has set up."""
    names = {each: f"upgrading_{each}_{uuid7().hex}" for each in SERVICES}
    urls = {f"CONVEYOR_{each.upper()}_DATABASE_URL": postgres.create_database(names[each], each) for each in SERVICES}
    vhost = f"test-{uuid7().hex}"
    environment = {**urls, "CONVEYOR_BROKER_URL": rabbitmq.add_vhost(vhost), "CONVEYOR_REDIS_URL": valkey.url()}
    given = {name.removeprefix("CONVEYOR_").lower(): value for name, value in environment.items()}
    sessions = {each: open_database(each, replace(settings(), **given)) for each in SERVICES}
    for command in ("migrate", "topology"):
        run_command([command], environment, tree_before)
    pipeline = Pipeline(sessions, environment, tmp_path, customer=uuid7())
    yield pipeline
    pipeline.stop()
    for each in SERVICES:
        sessions[each].kw["bind"].dispose()
        postgres.drop_database(names[each])
    rabbitmq.remove_vhost(vhost)


def test_a_release_is_upgraded_under_its_orders(upgrading: Pipeline, tree_before: Path) -> None:
    pipeline = upgrading
    old, product = _start_old(pipeline, tree_before)
    orders = _orders_in_flight(pipeline, old, product)

    pipeline.run("migrate")
    pipeline.run("topology")
    orders += [old.place(product) for _ in range(3)]
    cancelled = [old.cancel(orders[0]), old.cancel(old.place(product))]
    os.kill(pipeline.running["worker-delivery-before"].pid, signal.SIGCONT)
    (pipeline.folder / "go-on").touch()
    _wait_for(pipeline, {*orders, *cancelled}, cancelled)

    pipeline.start_all()
    new = Shop(pipeline, ROOT, "sales")
    mixed, cancelled = _orders_through_both(pipeline, old, new, product)
    _wait_for(pipeline, mixed, cancelled)

    pipeline.end(*[name for name in pipeline.running if name.endswith("-before")])
    last = [new.place(product) for _ in range(3)]
    _wait_for(pipeline, {*last}, [])
    assert _deviations(pipeline) == []
    assert pipeline.ask("sales", "SELECT count(*) FROM quarantine") == [(0,)]


def test_couriers_are_heard_by_both_releases_and_neither_forgets_what_the_other_heard(
    upgrading: Pipeline, tree_before: Path
) -> None:
    pipeline = upgrading
    shop, product = _start_old(pipeline, tree_before)
    old = Shop(pipeline, tree_before, "delivery")
    orders = [shop.place(product) for _ in range(2)]
    pipeline.wait_for(orders, Pending_Shipment=2)
    order, cancelled = orders[0], shop.cancel(orders[1])
    pipeline.wait_for([cancelled], Cancelled=1)
    parcel, stopped = (old.ask("delivery", "GET", f"/deliveries/order/{each}")["id"] for each in (order, cancelled))
    old.scan(parcel, "IN_TRANSIT", location="Hub A")

    pipeline.run("migrate")
    new = Shop(pipeline, ROOT, "delivery")

    assert new.scan(parcel, "FAILED", occurred_at="2026-03-02T12:00:00Z") == ("IN_TRANSIT", 2), "the old scan is later"
    assert new.scan(parcel, "FAILED") == ("FAILED", 3)
    assert old.scan(parcel, "IN_TRANSIT", location="Hub B") == ("IN_TRANSIT", 4)
    assert new.scan(parcel, "IN_TRANSIT", location="Hub C") == ("IN_TRANSIT", 4)
    pipeline.wait_for([order], In_Transit=1)
    assert new.scan(parcel, "DELIVERED", occurred_at="2026-03-02T12:00:00Z") == ("DELIVERED", 5)
    log = new.ask("delivery", "GET", f"/deliveries/{parcel}/events")["items"]
    assert [each["location"] for each in log] == [None, "Hub A", None, None, "Hub B", "Hub C", None]
    assert len(old.ask("delivery", "GET", f"/deliveries/{parcel}")["log"]) == len(log)
    pipeline.wait_for([order], Delivered=1)

    assert new.scan(stopped, "IN_TRANSIT") == ("CANCELLED", 2)
    query = "SELECT count(*) FROM order_events WHERE kind = 'scanned' AND order_id = :id"
    wait_until(lambda: pipeline.ask("sales", query, id=cancelled) == [(1,)])
    assert pipeline.flagged([cancelled]) == 1


def _start_old(pipeline: Pipeline, tree: Path) -> tuple[Shop, str]:
    pipeline.start_all(tree=tree, worker_inventory=STANDS)
    old = Shop(pipeline, tree, "sales", "inventory")
    lamp = {"sku": "lamp", "name": "Lamp", "price": "5.00", "stock_quantity": 10_000}
    ada = {"name": "Ada", "email": "ada@example.com", "address": "12 Rue de la Paix"}
    product = old.ask("inventory", "POST", "/products", lamp)["id"]
    pipeline.customer = old.ask("sales", "POST", "/customers", ada)["id"]
    return old, product


def _orders_in_flight(pipeline: Pipeline, old: Shop, product: str) -> list[UUID]:
    """Some wait before a worker that is stopped, one stands in the middle of a transaction, some wait behind it."""
    shipped = old.place(product)
    pipeline.wait_for([shipped], Pending_Shipment=1)
    os.kill(pipeline.running["worker-delivery-before"].pid, signal.SIGSTOP)
    orders = [old.place(product) for _ in range(3)]
    wait_until(lambda: pipeline.ask("inventory", "SELECT count(*) FROM reservations") == [(4,)])
    orders.append(old.place(product, quantity=7))
    wait_until((pipeline.folder / "standing").exists)
    return [*orders, *(old.place(product) for _ in range(3))]


def _orders_through_both(pipeline: Pipeline, old: Shop, new: Shop, product: str) -> tuple[set[UUID], list[UUID]]:
    """Orders and cancels through both releases, until each hand-over has gone from old to new and from new to old."""
    orders, cancelled = _round(pipeline, (old, new) * 5, product)
    for services in UPGRADED:
        _have_workers(pipeline, old.tree, services)
        more, more_cancelled = _round(pipeline, (old, new), product)
        orders |= more
        cancelled += more_cancelled
    wanted = {(hop, trees) for hop in HOPS for trees in (("before", ""), ("", "before"))}
    assert wanted - _crossed(pipeline) == set(), "hand-overs that were never made"
    return orders, cancelled


def _round(pipeline: Pipeline, shops: Sequence[Shop], product: str) -> tuple[set[UUID], list[UUID]]:
    """An order through each shop, shipped, and half of them cancelled by the shop that did not take them."""
    orders = [shop.place(product) for shop in shops]
    pipeline.wait_for(orders, Pending_Shipment=len(orders))
    cancelled = [shop.cancel(each) for shop, each in zip(reversed(shops), orders[::2], strict=False)]
    pipeline.wait_for(cancelled, Cancelled=len(cancelled))
    return {*orders}, cancelled


def _have_workers(pipeline: Pipeline, tree_before: Path, upgraded: set[str]) -> None:
    """One worker a service: ours for these, the release before's for the others."""
    names = {each: (f"worker-{each}-{tree_before.name}", f"worker-{each}") for each in SERVICES}
    for service, (older, newer) in names.items():
        if (newer if service in upgraded else older) not in pipeline.running:
            pipeline.start("worker", service, wait=False, tree=ROOT if service in upgraded else tree_before)
    pipeline.wait_for_ready()
    unwanted = {older if service in upgraded else newer for service, (older, newer) in names.items()}
    pipeline.end(*unwanted & {*pipeline.running})


def _crossed(pipeline: Pipeline) -> set[Any]:
    """Each hand-over that was made, and by which tree's worker to which: ``((task, task), (tree, tree))``."""
    where: dict[tuple[str, str], str] = {}
    for log in pipeline.folder.glob("worker-*.log"):
        tree = log.stem.split("-")[2] if log.stem.count("-") == 2 else ""
        steps = [json.loads(line) for line in log.read_text().splitlines() if '"step"' in line and line.endswith("}")]
        where |= {(each["order_id"], each["task"]): tree for each in steps if each["event"] == "step"}
    # An order that was cancelled has ended twice, and only its second end is known here.
    cancelled = {order for order, task in where if task == CANCEL[0]}
    return {
        (hop, (where[order, hop[0]], where[order, hop[1]]))
        for order in {order for order, _ in where}
        for hop in HOPS
        if (order, hop[0]) in where and (order, hop[1]) in where and not (order in cancelled and hop == LAST_OF_PLACE)
    }


def _wait_for(pipeline: Pipeline, orders: set[UUID], cancelled: list[UUID]) -> None:
    shipped = [each for each in orders if each not in cancelled]
    pipeline.wait_for(shipped, Pending_Shipment=len(shipped))
    pipeline.wait_for(cancelled, **({"Cancelled": len(cancelled)} if cancelled else {}))


def _deviations(pipeline: Pipeline) -> list[Any]:
    given = {each.name: pipeline.environment.get(f"CONVEYOR_{each.name.upper()}") for each in fields(Settings)}
    known = replace(settings(), **{name: value for name, value in given.items() if name.endswith(("_url",)) and value})
    return list(reconcile(known, Findings(), settle=2, settled=True))
