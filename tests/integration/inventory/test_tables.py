"""The tables themselves refuse what cannot be."""

import pytest
from sqlalchemy import exc, text
from uuid_utils.compat import uuid7

from chassis.database import transaction


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ("INSERT INTO reservations (order_id, state) VALUES (:id, 'maybe')", "ck_reservations_"),
        ("INSERT INTO reservations (order_id, state) VALUES (:id, 'refused')", "ck_reservations_reason_unless_held"),
        ("INSERT INTO reservations (order_id, state) VALUES (:id, 'held'), (:id, 'held')", "pk_reservations"),
        ("INSERT INTO products (id, sku, name, price) VALUES (:id, :id, 'x', -1)", "ck_products_price_not_negative"),
        ("INSERT INTO products (id, sku, name, price, status) VALUES (:id, :id, 'x', 1, 'sold')", "ck_products_status"),
    ],
)
def test_the_table_itself_refuses_what_cannot_be(inventory_sessions, change, guard):
    with pytest.raises(exc.IntegrityError, match=guard), transaction(inventory_sessions) as session:
        session.execute(text(change.replace(":id, :id, 'x'", ":id, CAST(:id AS text), 'x'")), {"id": uuid7()})
