"""The whole pipeline in one process, with a broker on paper: the test decides which message comes when, and how often.

Everything but the broker is real: the three databases, the outbox rows, the step contract, the services.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.settings import settings
from delivery import messages as delivery_messages
from delivery import scans
from delivery import service as delivery
from delivery.status import DeliveryStatus
from inventory import messages as inventory_messages
from inventory import service as inventory
from sales import faults, following, placing, pricing
from sales import messages as sales_messages
from sales import service as sales
from sales.errors import IllegalTransition, NothingToResume
from tasks.step import Message, work
from tasks.sweeper import Sweeper

HANDLERS: dict[str, tuple[Callable[..., Any], type[Any]]] = {
    "inventory.check_availability": (inventory.check_availability, inventory_messages.CheckAvailability),
    "inventory.reserve_stock": (inventory.reserve_stock, inventory_messages.ReserveStock),
    "inventory.release_stock": (inventory.release_stock, inventory_messages.ReleaseStock),
    "delivery.create_delivery": (delivery.create_delivery, delivery_messages.CreateDelivery),
    "delivery.cancel_delivery": (delivery.cancel_delivery, delivery_messages.CancelDelivery),
    "delivery.update_delivery": (delivery.update_delivery, delivery_messages.UpdateDelivery),
    "delivery.report_status": (delivery.report_status, delivery_messages.ReportStatus),
    "sales.record_inventory_response": (pricing.record_inventory_responses, sales_messages.InventoryResponse),
    "sales.update_order_status": (following.update_order_statuses, sales_messages.StatusUpdate),
    "sales.record_fault": (faults.record_faults, sales_messages.Fault),
}


@dataclass
class Mail:
    """A message in waiting."""

    task: str
    bundle: list[dict[str, Any]]
    links: list[dict[str, Any]]
    alone: bool = False

    def fits(self, other: "Mail") -> bool:
        """Whether a relay could have merged the two."""
        same = (self.task, self.links) == (other.task, other.links) and not (self.alone or other.alone)
        return same and not ({_key(each) for each in self.bundle} & {_key(each) for each in other.bundle})


def _key(order: dict[str, Any]) -> tuple[Any, ...]:
    return order.get("order_id"), order.get("kind"), order.get("no")


@dataclass
class World:
    """Three services, their databases, and the messages between them."""

    sessions: dict[str, sessionmaker[Session]]
    mail: list[Mail] = field(default_factory=list)
    orders: list[UUID] = field(default_factory=list)
    products: list[UUID] = field(default_factory=list)
    #: Who places the orders. Where somebody is named, the databases are taken as they are, with what waits in them.
    customer: UUID | None = None

    def __post_init__(self) -> None:
        if self.customer is not None:
            return
        for sessions in self.sessions.values():
            with transaction(sessions) as session:
                session.execute(text("DELETE FROM outbox"))
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        with transaction(self.sessions["sales"]) as session:
            self.customer = sales.register_customer(session, details, None)[0].id

    def add_product(self, stock: int, price: str = "5.00") -> UUID:
        values = {"sku": uuid7().hex, "name": "Lamp", "price": Decimal(price), "stock_quantity": stock}
        with transaction(self.sessions["inventory"]) as session:
            product, _ = inventory.create_product(session, values, None)
        self.products.append(product.id)
        return product.id

    def set_price(self, product_id: UUID, price: str) -> None:
        with transaction(self.sessions["inventory"]) as session:
            inventory.change_product(session, product_id, {"price": Decimal(price)})

    def set_stock(self, product_id: UUID, change: int) -> None:
        with transaction(self.sessions["inventory"]) as session:
            inventory.adjust_stock(session, product_id, change, "test", None)

    def place(self, *lines: tuple[UUID, int], price: str | None = None) -> UUID:
        items = [{"product_id": product, "quantity": quantity} for product, quantity in lines]
        if price is not None:
            items = [{**each, "price": Decimal(price)} for each in items]
        with transaction(self.sessions["sales"]) as session:
            order, _ = placing.place_order(session, {"customer_id": self.customer, "items": items}, None, "test")
        self.orders.append(order["id"])
        self.collect()
        return order["id"]

    def cancel(self, order_id: UUID) -> None:
        """Ask for a cancel; an order that cannot be cancelled any more refuses, and that is fine."""
        try:
            with transaction(self.sessions["sales"]) as session:
                sales.request_cancel(session, order_id, "test")
        except IllegalTransition:
            return
        self.collect()

    def resend(self, order_id: UUID) -> None:
        """What the sweeper does with an order that stopped moving."""
        try:
            with transaction(self.sessions["sales"]) as session:
                sales.resume(session, order_id, "sweeper")
        except NothingToResume:  # it has ended meanwhile
            return
        self.collect()

    def pass_time(self, seconds: float) -> None:
        """Time passes for whoever looks at the moments in sales' database: the sweeper."""
        moments = {"order_sagas": ("started_at", "sent_at", "deadline", "closed_at")}
        moments["orders"] = ("updated_at", "delivery_asked_at")
        with transaction(self.sessions["sales"]) as session:
            for table, columns in moments.items():
                moved = ", ".join(f"{each} = {each} - :passed" for each in columns)
                session.execute(text(f"UPDATE {table} SET {moved}"), {"passed": timedelta(seconds=seconds)})

    def sweep(self) -> Counter[str]:
        """A round of the sweeper: how often it has sent which order again."""
        before = len(self.mail)
        Sweeper(self.sessions["sales"], settings()).round()
        self.collect()
        return Counter(str(order["order_id"]) for mail in self.mail[before:] for order in mail.bundle)

    def flagged(self) -> list[UUID]:
        """Those of its orders that were put before people."""
        query = text("SELECT id FROM orders WHERE needs_attention AND id = ANY(CAST(:ids AS uuid[]))")
        with transaction(self.sessions["sales"]) as session:
            return list(session.execute(query, {"ids": [str(each) for each in self.orders]}).scalars())

    def courier(self, order_id: UUID, status: str) -> None:
        """The courier scans the parcel, where there is one."""
        with transaction(self.sessions["delivery"]) as session:
            found = session.execute(
                text("SELECT id FROM deliveries WHERE order_id = :id AND address IS NOT NULL"), {"id": order_id}
            ).scalar_one_or_none()
            if found is not None:
                scans.follow_courier(session, found, scans.Scan(DeliveryStatus(status)), "test")
        self.collect()

    def collect(self) -> None:
        """What a relay does: outbox rows become mail."""
        for sessions in self.sessions.values():
            with transaction(sessions) as session:
                rows = session.execute(text("DELETE FROM outbox RETURNING id, task, bundle, links, alone")).all()
            for row in sorted(rows, key=lambda each: each.id):
                self.mail.append(Mail(row.task, row.bundle, row.links, row.alone))

    def deliver(self, mail: Mail, *, redelivered: bool = False, collect: bool = True) -> None:
        """A worker gets this message; without ``collect`` its answer stays in the outbox."""
        handler, receives = HANDLERS[mail.task]
        service = mail.task.partition(".")[0]
        message = Message(uuid7().hex, mail.task, mail.bundle, mail.links, redelivered, {})
        work(message, service, handler, receives)
        if collect:
            self.collect()

    def settle(self) -> None:
        """Deliver everything, oldest first, until nothing is under way."""
        while self.mail:
            self.deliver(self.mail.pop(0))

    def status(self, order_id: UUID) -> str:
        with transaction(self.sessions["sales"]) as session:
            return str(session.execute(text("SELECT status FROM orders WHERE id = :id"), {"id": order_id}).scalar_one())

    def reason(self, order_id: UUID) -> str | None:
        with transaction(self.sessions["sales"]) as session:
            found = session.execute(text("SELECT reason FROM orders WHERE id = :id"), {"id": order_id}).scalar_one()
        return str(found) if found else None

    def stock(self, product_id: UUID) -> int:
        with transaction(self.sessions["inventory"]) as session:
            query = text("SELECT stock_quantity FROM products WHERE id = :id")
            return int(session.execute(query, {"id": product_id}).scalar_one())

    def violations(self) -> list[str]:
        """Every promise of the pipeline that does not hold for these orders and products, once all is settled."""
        return [*self._stock_violations(), *(each for order in self.orders for each in self._order_violations(order))]

    def _stock_violations(self) -> list[str]:
        query = text(
            "SELECT p.id, p.stock_quantity, coalesce(sum(m.quantity), 0) AS ledger FROM products p"
            " LEFT JOIN stock_movements m ON m.product_id = p.id WHERE p.id = ANY(CAST(:ids AS uuid[])) GROUP BY p.id"
        )
        with transaction(self.sessions["inventory"]) as session:
            rows = session.execute(query, {"ids": [str(each) for each in self.products]}).all()
        wrong = [row for row in rows if row.stock_quantity != row.ledger or row.stock_quantity < 0]
        return [f"product {row.id}: stock {row.stock_quantity}, ledger {row.ledger}" for row in wrong]

    def _order_violations(self, order_id: UUID) -> list[str]:
        found = []
        status = self.status(order_id)
        with transaction(self.sessions["sales"]) as session:
            lines = session.execute(
                text("SELECT product_id, sum(quantity) FROM order_items WHERE order_id = :id GROUP BY 1"),
                {"id": order_id},
            ).all()
            pair = session.execute(
                text("SELECT delivery_status, delivery_version FROM orders WHERE id = :id"), {"id": order_id}
            ).one()
        with transaction(self.sessions["inventory"]) as session:
            ledger = session.execute(
                text("SELECT product_id, -sum(quantity) FROM stock_movements WHERE order_id = :id GROUP BY 1"),
                {"id": order_id},
            ).all()
        with transaction(self.sessions["delivery"]) as session:
            deliveries = session.execute(
                text("SELECT status, version FROM deliveries WHERE order_id = :id"), {"id": order_id}
            ).all()
        held = {product: int(quantity) for product, quantity in ledger if quantity}
        if status in ("Pending", "Cancelling"):
            found.append(f"order {order_id} has not ended: {status}")
        shipping = status not in ("Rejected", "Cancelled")
        wanted = {product: int(quantity) for product, quantity in lines} if shipping else {}
        if held != wanted:
            found.append(f"order {order_id} is {status} and holds {held}, not {wanted}")
        if len(deliveries) > 1:
            found.append(f"order {order_id} has {len(deliveries)} deliveries")
        expected = {"Pending Shipment": "PENDING", "In Transit": "IN_TRANSIT", "Delivered": "DELIVERED"}
        expected |= {"Delivery Failed": "FAILED"}
        now = deliveries[0] if deliveries else None
        if shipping and (now is None or expected.get(status) != now.status):
            found.append(f"order {order_id} is {status}, its delivery {now and now.status}")
        if not shipping and now is not None and now.status != "CANCELLED":
            found.append(f"order {order_id} is {status}, its delivery {now.status}")
        if shipping and now is not None and tuple(pair) != tuple(now):
            found.append(f"order {order_id} knows {tuple(pair)} of its delivery, which is {tuple(now)}")
        return [*found, *self._unseen_scans(order_id)]

    def _unseen_scans(self, order_id: UUID) -> list[str]:
        """Scans of a cancelled parcel that nobody was shown, or that are off the table though nobody has seen to it."""
        scanned = (
            "SELECT count(*) FROM delivery_logs AS scan JOIN deliveries ON deliveries.id = delivery_id"
            " WHERE order_id = :id AND EXISTS (SELECT FROM delivery_logs AS before"
            " WHERE before.delivery_id = deliveries.id AND before.id < scan.id AND before.status = 'CANCELLED')"
        )
        noted = (
            "SELECT needs_attention, (SELECT count(*) FROM order_events WHERE order_id = :id AND kind = 'scanned'),"
            " (SELECT kind FROM order_events WHERE order_id = :id AND kind IN ('scanned', 'resumed')"
            " ORDER BY id DESC LIMIT 1) FROM orders WHERE id = :id"
        )
        with transaction(self.sessions["delivery"]) as session:
            scans_after = session.execute(text(scanned), {"id": order_id}).scalar_one()
        with transaction(self.sessions["sales"]) as session:
            flagged, events, newest = session.execute(text(noted), {"id": order_id}).one()
        found = (
            [] if events == scans_after else [f"order {order_id}: {scans_after} scans after its cancel, {events} noted"]
        )
        return (
            found if flagged or newest != "scanned" else [*found, f"order {order_id} was scanned, and is not flagged"]
        )
