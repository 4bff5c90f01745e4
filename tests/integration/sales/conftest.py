"""Sales on a real PostgreSQL, spoken to over HTTP; the tests play inventory and delivery."""

from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.settings import Settings
from sales import following, pricing
from sales.app import attach, create_app
from sales.messages import CatalogueEntry, InventoryResponse, StatusUpdate

Sessions = sessionmaker[Session]


@cache
def _app() -> Flask:
    """Without a database; made once, since reading its routes and schemas takes longer than most tests."""
    return create_app(Settings(sales_database_url="postgresql://nobody@127.0.0.1:1/replaced"))


class Shop:
    """A customer, their orders, and what inventory and delivery say of these. Each call is one transaction."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        app = _app()
        attach(app, sessions)
        self.http: FlaskClient = app.test_client()
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        self.customer: dict[str, Any] = self.http.post("/customers", json=details).json
        self.lamp = uuid7()

    def draft(self, *quantities: int, price: str | None = None, **more: Any) -> dict[str, Any]:
        """The body of an order for so many lamps on each line, two where nothing is said."""
        line = {"product_id": str(self.lamp)} | ({"price": price} if price else {})
        items = [{**line, "quantity": quantity} for quantity in quantities or (2,)]
        return {"customer_id": self.customer["id"], "items": items, **more}

    def place(self, **more: Any) -> dict[str, Any]:
        """An order that is Pending."""
        answer = self.http.post("/orders", json=self.draft(**more))
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def respond(self, order: dict[str, Any], price: str = "12.50", **refusal: Any) -> list[bool]:
        """Inventory answers the order's check: every lamp is there at this price, or why not. Whether it ended."""
        catalogue = [] if refusal else [CatalogueEntry(self.lamp, "Reading lamp", Decimal(price), "LAMP-READ")]
        outcome = "refused" if refusal else "ok"
        response = InventoryResponse(
            order_id=UUID(order["id"]), correlation_id="c-1", outcome=outcome, catalogue=catalogue, **refusal
        )
        with transaction(self.sessions) as session:
            return [each.ended for each in pricing.record_inventory_responses(session, [response])]

    def hear(self, *updates: StatusUpdate) -> None:
        """A bundle of the last step."""
        with transaction(self.sessions) as session:
            following.update_order_statuses(session, updates)

    def ship(self, **more: Any) -> dict[str, Any]:
        """An order that is Pending Shipment."""
        order = self.place(**more)
        self.respond(order)
        self.hear(about(order, "place", delivery=("PENDING", 1)))
        return self.order(order)

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        return dict(self.http.get(f"/orders/{order['id']}").json)

    def timeline(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self.http.get(f"/orders/{order['id']}/events").json["items"])

    def kinds(self, order: dict[str, Any]) -> list[str]:
        """What has happened to the order, in a word each."""
        return [each["kind"] for each in self.timeline(order)]

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with transaction(self.sessions) as session:
            return list(session.execute(text(statement), values))

    def saga(self, order: dict[str, Any]) -> Any:
        [row] = self.rows("SELECT * FROM order_sagas WHERE order_id = :id", id=order["id"])
        return row

    def sent(self, order: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """The messages about this order that wait in the outbox, oldest first: what is to be done, and to what."""
        rows = self.rows("SELECT task, bundle FROM outbox ORDER BY id")
        told = [(row.task, each) for row in rows for each in row.bundle if isinstance(each, dict)]
        return [(task, each) for task, each in told if each.get("order_id") == order["id"]]


def about(
    order: dict[str, Any], kind: Any, no: int = 0, *, delivery: tuple[str, int] | None = None, **more: Any
) -> StatusUpdate:
    """How a chain of this order ended, and how its delivery stands: its status and version."""
    status, version = delivery or (None, None)
    facts = {"delivery_status": status, "delivery_version": version, "correlation_id": "c-1", **more}
    return StatusUpdate(order_id=UUID(order["id"]), kind=kind, no=no, **facts)


@pytest.fixture
def shop(sales_sessions: Sessions) -> Shop:
    return Shop(sales_sessions)
