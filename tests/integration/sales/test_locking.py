"""Orders are locked in the order of their ids, whatever order they are asked for and stored in, and no others are."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.database import transaction
from sales import models, pricing
from tests.integration.sales.conftest import Shop
from tests.integration.waiting import can_be_locked, meanwhile, read_as_stored, until_somebody_waits_for

Lock = Callable[[Session, Collection[UUID]], Any]
LOCKS = [models.lock_orders, pricing.lock_with_lines]

LOCK = "SELECT FROM orders WHERE id = :id FOR UPDATE"


@pytest.fixture
def ids(shop: Shop) -> list[UUID]:
    """The ids of three orders, lowest first; they and their lines are stored the other way round."""
    placed = sorted(UUID(shop.place()["id"]) for _ in range(3))
    for each in reversed(placed):  # a row that is written is stored anew
        shop.rows("UPDATE orders SET updated_at = now() WHERE id = :id RETURNING id", id=each)
        shop.rows("UPDATE order_items SET price = NULL WHERE order_id = :id RETURNING id", id=each)
    return placed


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lowest_id_is_locked_first(shop: Shop, ids: list[UUID], lock: Lock) -> None:
    lowest, *higher = ids

    def lock_all() -> None:
        with transaction(shop.sessions) as session:
            lock(session, [*higher, lowest])

    with read_as_stored(shop.sessions), shop.sessions() as holder:
        holder.execute(text(LOCK), {"id": lowest})
        with meanwhile(lock_all):
            until_somebody_waits_for(holder, shop.sessions)
            free = [can_be_locked(shop.sessions, LOCK, id=each) for each in higher]
            holder.rollback()
    assert free == [True, True]


@pytest.mark.parametrize("lock", LOCKS)
def test_no_other_order_is_locked_or_waited_for(shop: Shop, ids: list[UUID], lock: Lock) -> None:
    held, asked, other = ids
    with transaction(shop.sessions) as neighbour, transaction(shop.sessions) as session:
        neighbour.execute(text(LOCK), {"id": held})
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        lock(session, [asked])
        assert not can_be_locked(shop.sessions, LOCK, id=asked)
        assert can_be_locked(shop.sessions, LOCK, id=other)
