"""The tables themselves refuse what no order can be."""

import pytest
from sqlalchemy import exc, text

from chassis.database import transaction
from tests.integration.sales.conftest import Shop


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ("UPDATE orders SET status = 'Lost' WHERE id = :id", "ck_orders_status"),
        ("UPDATE order_items SET quantity = 0 WHERE order_id = :id", "ck_order_items_quantity"),
        ("UPDATE order_sagas SET kind = 'move' WHERE order_id = :id", "ck_order_sagas_kind"),
        ("UPDATE orders SET customer_id = id WHERE id = :id", "fk_orders_customer_id_customers"),
        ("DELETE FROM orders WHERE id = :id", "fk_order_(items|events|sagas)_order_id_orders"),
        (
            "INSERT INTO order_events (order_id, kind, number, actor) VALUES (:id, 'placed', 0, 'nobody')",
            "uq_order_events_order_id_kind_number",
        ),
        (
            "INSERT INTO quarantine (message_id, queue, body, headers, reason, state)"
            " VALUES (CAST(:id AS text), 'q', '{}', '{}', 'x', 'lost')",
            "ck_quarantine_state",
        ),
        (
            "INSERT INTO quarantine_actions (message_id, actor, action) VALUES (CAST(:id AS text), 'ada', 'burnt')",
            "ck_quarantine_actions_action",
        ),
    ],
)
def test_what_no_order_can_be_is_refused(shop: Shop, change: str, guard: str) -> None:
    order = shop.place()
    with pytest.raises(exc.IntegrityError, match=guard), transaction(shop.sessions) as session:
        session.execute(text(change), {"id": order["id"]})
