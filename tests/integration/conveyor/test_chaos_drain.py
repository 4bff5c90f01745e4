"""What a chaos run does at its end about what was flagged: what an operator would do."""

from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import outbox
from conveyor.chaos.drain import Settled, attend
from sales import faults, placing, service
from sales.messages import Fault
from sales.models import orders, quarantine


@pytest.fixture
def sessions(sales_sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    with transaction(sales_sessions) as session:
        session.execute(quarantine.delete())
        session.execute(orders.update().values(needs_attention=False))
        session.execute(outbox.delete())
    return sales_sessions


@pytest.fixture
def order_id(sessions: sessionmaker[Session]) -> UUID:
    """An order whose message is lost."""
    with transaction(sessions) as session:
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.org", "address": "1 Main Street"}
        customer, _ = service.register_customer(session, details, None)
        draft = {"customer_id": customer.id, "items": [{"product_id": uuid7(), "quantity": 1}]}
        order: UUID = placing.place_order(session, draft, None, "trace")[0]["id"]
        session.execute(outbox.delete())
    return order


def fault(order_id: UUID, task: str = "inventory.reserve_stock") -> Fault:
    body = {"bundle": [{"order_id": str(order_id), "kind": "place", "no": 0}], "links": []}
    return Fault(
        order_id=str(order_id), message_id=str(uuid7()), queue="q", task=task, body=body, headers={}, reason="killed"
    )


def seen(sessions: sessionmaker[Session], order_id: UUID) -> tuple[bool, int]:
    """Is it flagged, and how many messages wait to be sent?"""
    with transaction(sessions) as session:
        flagged = session.execute(select(orders.c.needs_attention).where(orders.c.id == order_id)).scalar_one()
        return flagged, len(session.execute(select(outbox.c.id)).all())


def test_what_waits_in_the_quarantine_is_replayed(sessions: sessionmaker[Session], order_id: UUID) -> None:
    with transaction(sessions) as session:
        faults.record_faults(session, [fault(order_id)])
    assert attend(sessions, print) == Settled(replayed=1, resumed=0)
    assert seen(sessions, order_id) == (False, 1)
    assert attend(sessions, print) == Settled(0, 0)


def test_an_order_that_is_flagged_without_a_message_is_resumed(sessions: sessionmaker[Session], order_id: UUID) -> None:
    with transaction(sessions) as session:
        session.execute(orders.update().where(orders.c.id == order_id).values(needs_attention=True))
    assert attend(sessions, print) == Settled(replayed=0, resumed=1)
    assert seen(sessions, order_id) == (False, 1)


def test_a_message_that_cannot_be_replayed_is_told_and_its_order_resumed(
    sessions: sessionmaker[Session], order_id: UUID
) -> None:
    with transaction(sessions) as session:
        faults.record_faults(session, [fault(order_id, task="no.such_task")])
    told: list[str] = []
    assert attend(sessions, told.append) == Settled(replayed=0, resumed=1)
    assert "no.such_task" in told[0]
