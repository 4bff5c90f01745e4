"""A shop whose orders were made by the real services, and copies of it for tests to corrupt."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

import delivery.service
import inventory.service
import sales.service
from chassis.database import open_database, transaction
from chassis.migrations import migrate
from chassis.outbox import enqueue
from chassis.settings import Settings, settings
from conveyor.embedded.postgres import Postgres
from delivery.messages import CancelDelivery, CreateDelivery
from delivery.scans import Scan, follow_courier
from delivery.status import DeliveryStatus
from inventory.messages import CheckAvailability, ReleaseStock, ReserveStock
from sales import placing
from sales.chains import resend
from sales.following import update_order_statuses
from sales.messages import InventoryResponse, StatusUpdate
from sales.pricing import record_inventory_responses
from sales.status import OrderStatus

SERVICES = ("sales", "inventory", "delivery")
STEPS: dict[str, tuple[Any, Any]] = {
    "inventory.check_availability": (inventory.service.check_availability, CheckAvailability),
    "sales.record_inventory_response": (record_inventory_responses, InventoryResponse),
    "inventory.reserve_stock": (inventory.service.reserve_stock, ReserveStock),
    "delivery.create_delivery": (delivery.service.create_delivery, CreateDelivery),
    "sales.update_order_status": (update_order_statuses, StatusUpdate),
    "delivery.cancel_delivery": (delivery.service.cancel_delivery, CancelDelivery),
    "inventory.release_stock": (inventory.service.release_stock, ReleaseStock),
}

_EACH_TABLE = "FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'alembic' LOOP"
_KEEP = (
    "CREATE SCHEMA model; DO $$ DECLARE name text; BEGIN " + _EACH_TABLE + " EXECUTE"
    " 'CREATE TABLE model.' || name || ' AS TABLE public.' || name; END LOOP; END $$"
)
_PUT_BACK = (
    "DO $$ DECLARE name text; BEGIN "
    + _EACH_TABLE
    + " EXECUTE 'DELETE FROM public.' || name || '; INSERT INTO public.'"
    " || name || ' OVERRIDING SYSTEM VALUE SELECT * FROM model.' || name; END LOOP; END $$"
)


class Shop:
    """Three databases, and a worker in this process that does what relay, broker and workers would do."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        self.postgres, self.name = postgres, name
        urls = {f"{each}_database_url": postgres.url(f"{name}_{each}", each) for each in SERVICES}
        self.settings: Settings = replace(Settings(), **urls, **{f"{each}_relay": "127.0.0.1:9" for each in SERVICES})
        self.sessions: dict[str, sessionmaker[Session]] = {
            each: open_database(each, self.settings) for each in SERVICES
        }
        self.ids: dict[str, str] = {}

    def do(self, service: str, action: Callable[[Session], Any]) -> Any:
        with transaction(self.sessions[service]) as session:
            return action(session)

    def sql(self, service: str, statements: str) -> None:
        """Corrupt a database, past its triggers and foreign keys. ``{name}`` stands for an id of the shop."""
        given = "SET session_replication_role = replica; " + statements.format(**self.ids)
        self.postgres.execute(given, f"{self.name}_{service}")

    def age(self) -> None:
        """Everything happened an hour ago."""
        for service, tables in {
            "sales": ["orders"],
            "inventory": ["reservations"],
            "delivery": ["deliveries"],
        }.items():
            for table in tables:
                self.sql(service, f"UPDATE {table} SET updated_at = updated_at - interval '1 hour'")
        self.sql("inventory", "UPDATE stock_movements SET created_at = created_at - interval '1 hour'")

    def place(self, name: str, *lines: tuple[str, int], until: str = "") -> None:
        draft = {
            "customer_id": self.ids["customer"],
            "items": [{"product_id": self.ids[product], "quantity": units} for product, units in lines],
        }
        order, _ = self.do("sales", lambda session: placing.place_order(session, draft, None, "test"))
        self.ids[name] = str(order["id"])
        self.work(until)

    def cancel(self, name: str, until: str = "") -> None:
        self.do("sales", lambda session: sales.service.request_cancel(session, self.ids[name], "test"))
        self.work(until)

    def courier(self, name: str, *statuses: str) -> None:
        """The parcel moves, and its order is told."""
        for status in statuses:
            self.do("delivery", lambda session, to=status: self._move(session, name, to))
            self.work()

    def _move(self, session: Session, name: str, status: str) -> None:
        row = session.execute(text("SELECT id FROM deliveries WHERE order_id = :id"), {"id": self.ids[name]}).one()
        follow_courier(session, row.id, Scan(DeliveryStatus(status)), "test")

    def work(self, until: str = "") -> None:
        """Bring every message to its end; one for the task ``until`` stays in the broker, and is not seen again."""
        moved = True
        while moved:
            moved = False
            for service in SERVICES:
                take = text("DELETE FROM outbox RETURNING id, task, links, bundle")
                for row in self.do(service, lambda session, take=take: session.execute(take).all()):
                    moved = True
                    if row.task != until:
                        self._step(row)

    def _step(self, row: Any) -> None:
        """What a worker does with a message, in short: answer for each order, and send on those that go on."""
        handler, receives = STEPS[row.task]

        def work(session: Session) -> None:
            answers = handler(session, msgspec.convert(row.bundle, list[receives]))
            said = [{**order, **msgspec.to_builtins(answer)} for order, answer in zip(row.bundle, answers, strict=True)]
            onward = [{k: v for k, v in each.items() if v is not None} for each in said if not each.pop("ended", False)]
            if row.links and onward:
                enqueue(session, row.links, onward)

        self.do(row.task.partition(".")[0], work)

    def close(self) -> None:
        for sessions in self.sessions.values():
            sessions.kw["bind"].dispose()


def _create(postgres: Postgres, name: str, template: str | None = None) -> Shop:
    for service in SERVICES:
        copied = f' TEMPLATE "{template}_{service}"' if template else ""
        postgres.execute(f'CREATE DATABASE "{name}_{service}" OWNER {service}{copied}')
    return Shop(postgres, name)


@pytest.fixture(scope="session")
def model_shop(postgres: Postgres) -> Shop:
    """One order of every kind, each by its own path through the services; all is well with them."""
    shop = _create(postgres, "model")
    with pytest.MonkeyPatch.context() as patch:
        for service in SERVICES:
            patch.setenv(f"CONVEYOR_{service.upper()}_DATABASE_URL", shop.settings.database_url(service))
        settings.cache_clear()
        for service in SERVICES:
            migrate(service)
    settings.cache_clear()
    for name, units in {"lamp": 100, "chair": 100, "rare": 1}.items():
        wanted = {"sku": name, "name": name, "price": "2.50", "stock_quantity": units}
        made, _ = shop.do("inventory", lambda s, w=wanted: inventory.service.create_product(s, w, None))
        shop.ids[name] = str(made.id)
    details = {"name": "Ada", "email": "ada@example.com", "address": "12 Rue de la Paix"}
    made, _ = shop.do("sales", lambda s: sales.service.register_customer(s, details, None))
    shop.ids["customer"] = str(made.id)
    _orders_of_every_kind(shop)
    shop.age()
    shop.close()
    for service in SERVICES:
        shop.sql(service, _KEEP)
    return shop


def _orders_of_every_kind(shop: Shop) -> None:
    shop.place("shipped", ("lamp", 2), ("chair", 1), ("lamp", 3))
    shop.place("on_the_way", ("lamp", 1))
    shop.courier("on_the_way", "IN_TRANSIT")
    shop.place("delivered", ("chair", 4))
    shop.courier("delivered", "IN_TRANSIT", "DELIVERED")
    shop.place("failed", ("chair", 1))
    shop.courier("failed", "IN_TRANSIT", "FAILED")
    shop.place("cancelled", ("lamp", 7))
    shop.cancel("cancelled")
    shop.place("cancelled_early", ("lamp", 7), until="inventory.check_availability")
    shop.cancel("cancelled_early")
    shop.place("rejected_by_check", ("rare", 2))
    shop.place("rejected_late", ("rare", 1), until="inventory.reserve_stock")
    shop.place("takes_the_last", ("rare", 1))
    shop.do("sales", lambda s: _resend(s, shop.ids["rejected_late"]))
    shop.work()
    shop.place("kept", ("chair", 2))
    shop.courier("kept", "IN_TRANSIT")
    shop.place("pending", ("lamp", 1), until="inventory.check_availability")
    shop.place("pending_held", ("lamp", 1), until="delivery.create_delivery")
    shop.place("pending_sent", ("lamp", 1), until="sales.update_order_status")
    shop.place("cancelling", ("lamp", 1))
    shop.cancel("cancelling", until="inventory.release_stock")


def _resend(session: Session, order_id: str) -> None:
    order = session.execute(text("SELECT * FROM orders WHERE id = :id"), {"id": order_id}).one()
    saga = session.execute(text("SELECT * FROM order_sagas WHERE order_id = :id"), {"id": order_id}).one()
    assert order.status == OrderStatus.PENDING
    resend(session, order, saga)


@pytest.fixture
def shop(model_shop: Shop) -> Iterator[Shop]:
    """The model shop, whose rows are put back after the test."""
    settings_of_the_model = model_shop.settings
    yield model_shop
    model_shop.settings = settings_of_the_model
    for service in SERVICES:
        model_shop.sql(service, _PUT_BACK)


@pytest.fixture
def own_shop(postgres: Postgres, model_shop: Shop) -> Iterator[Shop]:
    """A copy of the model shop, for a test that changes tables and not only rows. Takes seconds."""
    copy = _create(postgres, f"copy_{os.urandom(4).hex()}", "model")
    copy.ids = dict(model_shop.ids)
    yield copy
    copy.close()
    for service in SERVICES:
        postgres.drop_database(f"{copy.name}_{service}")
