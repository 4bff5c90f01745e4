"""Inventory on a real PostgreSQL, spoken to in the verbs of a warehouse."""

from collections import Counter
from contextlib import contextmanager
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.settings import Settings
from inventory import service
from inventory.app import create_app
from inventory.messages import CheckAvailability, Line, ReleaseStock, ReserveStock


class Warehouse:
    """Products and orders of one test. Each call is one bundle in one transaction, as a step would do it."""

    def __init__(self, sessions):
        self.sessions = sessions
        self.products = []
        self.skus = {}
        self.orders = {}

    def product(self, stock=0, **more):
        values = {"sku": uuid7().hex, "name": "Lamp", "price": Decimal("24.90"), "stock_quantity": stock, **more}
        with transaction(self.sessions) as session:
            made, _ = service.create_product(session, values, None)
        self.products.append(made.id)
        self.skus[made.id] = made.sku
        return made.id

    def sku(self, product_id):
        return self.skus[product_id]

    def order(self, *lines):
        """An order for these lines, ``(product, quantity)`` each; nobody has heard of it yet."""
        order_id = uuid7()
        self.orders[order_id] = [Line(*line) for line in lines]
        return order_id

    def check(self, *order_ids):
        with transaction(self.sessions) as session:
            return service.check_availability(
                session, [CheckAvailability(each, self.orders[each]) for each in order_ids]
            )

    def reserve(self, *order_ids):
        """The reasons, None for stock that is held."""
        with transaction(self.sessions) as session:
            answers = service.reserve_stock(session, [ReserveStock(each, self.orders[each]) for each in order_ids])
        assert [each.order_id for each in answers] == list(order_ids)
        assert all((each.outcome == "ok") == (each.reason is None) for each in answers)
        return [each.reason for each in answers]

    def release(self, *order_ids):
        with transaction(self.sessions) as session:
            answers = service.release_stock(session, [ReleaseStock(each) for each in order_ids])
        assert [(each.order_id, each.outcome) for each in answers] == [(each, "ok") for each in order_ids]

    def adjust(self, product_id, quantity):
        with transaction(self.sessions) as session:
            service.adjust_stock(session, product_id, quantity, "counted", None)

    def rows(self, statement, **values):
        with transaction(self.sessions) as session:
            return session.execute(text(statement), values).all()

    def stock(self, product_id):
        return self.rows("SELECT stock_quantity FROM products WHERE id = :id", id=product_id)[0][0]

    def states(self):
        """What is stored about each order of this test."""
        statement = "SELECT order_id, state FROM reservations WHERE order_id = ANY(:ids)"
        return dict(tuple(row) for row in self.rows(statement, ids=list(self.orders)))

    def audit(self):
        """Stock is what the ledger says, never negative; a held order holds its lines, any other order nothing.

        The lines are those that the test ordered: comparing stock with the ledger alone would miss stock that was
        taken twice and booked twice.
        """
        for product_id in self.products:
            booked = self.rows("SELECT sum(quantity) FROM stock_movements WHERE product_id = :id", id=product_id)[0][0]
            assert self.stock(product_id) == (booked or 0) >= 0, "stock and ledger have parted"
        states = self.rows("SELECT order_id, state FROM reservations WHERE order_id = ANY(:ids)", ids=list(self.orders))
        assert len(states) == len({row.order_id for row in states}), "an order was decided on twice"
        statement = "SELECT product_id, -sum(quantity) FROM stock_movements WHERE order_id = :id GROUP BY product_id"
        decided = dict(tuple(row) for row in states)
        for order_id, lines in self.orders.items():
            holds = {row[0]: row[1] for row in self.rows(statement, id=order_id) if row[1]}
            wanted = Counter()
            for line in lines:
                wanted[line.product_id] += line.quantity
            expected = dict(wanted) if decided.get(order_id) == "held" else {}
            assert holds == expected, f"an order that is {decided.get(order_id)} holds the wrong stock"


@pytest.fixture
def warehouse(inventory_sessions):
    """A warehouse with nothing in it yet."""
    return Warehouse(inventory_sessions)


@pytest.fixture(scope="session")
def scratch_warehouse(inventory_sessions):
    """Opens a warehouse that leaves nothing behind: what is done there, to its tables as well, is rolled back."""

    @contextmanager
    def scratch():
        with inventory_sessions.kw["bind"].connect() as connection, connection.begin() as whole:
            info = inventory_sessions.kw["info"]
            yield Warehouse(sessionmaker(connection, info=info, join_transaction_mode="create_savepoint"))
            whole.rollback()

    return scratch


@pytest.fixture
def unguarded(scratch_warehouse):
    """A warehouse whose guards a test may take away."""
    with scratch_warehouse() as warehouse:
        yield warehouse


@pytest.fixture
def client(inventory_sessions):
    """Inventory's app, on the tests' database."""
    url = inventory_sessions.kw["bind"].url.render_as_string(hide_password=False)
    app = create_app(Settings(inventory_database_url=url, max_order_lines=5, max_line_quantity=100))
    yield app.test_client()
    app.extensions["database"].kw["bind"].dispose()
