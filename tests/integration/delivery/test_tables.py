"""The table itself refuses what no delivery can be."""

import pytest
from sqlalchemy import exc, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction


@pytest.mark.parametrize(
    ("columns", "values", "guard"),
    [
        ("order_id, status, address", ":order_id, 'LOST', 'x'", "ck_deliveries_status"),
        ("order_id, status, address", ":order_id, 'PENDING', NULL", "ck_deliveries_address"),
        (
            "order_id, status, address",
            ":order_id, 'PENDING', 'x'), (:order_id, 'PENDING', 'x'",
            "uq_deliveries_order_id",
        ),
        (
            "order_id, public_id, status, address",
            ":order_id, :order_id, 'PENDING', 'x'), (gen_random_uuid(), :order_id, 'PENDING', 'x'",
            "uq_deliveries_public_id",
        ),
    ],
)
def test_the_table_itself_refuses_what_no_delivery_can_be(
    delivery_sessions: sessionmaker[Session], columns: str, values: str, guard: str
) -> None:
    with pytest.raises(exc.IntegrityError, match=guard), transaction(delivery_sessions) as session:
        session.execute(text(f"INSERT INTO deliveries ({columns}) VALUES ({values})"), {"order_id": uuid7()})
