"""A delivery that somebody holds keeps its own courier waiting, and nobody else's."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import service
from delivery.messages import CreateDelivery
from delivery.models import deliveries
from tests.integration.pipeline.processes import wait_until

#: Seconds within which another courier has his answer; a lock is waited for five.
SOON = 2.0


@pytest.fixture
def parcels(delivery_sessions: sessionmaker[Session]) -> list[int]:
    """The ids of six deliveries that wait for their couriers."""
    orders = [uuid7() for _ in range(6)]
    with transaction(delivery_sessions) as session:
        service.create_delivery(session, [CreateDelivery(order_id=each, address="Lyon") for each in orders])
        found = session.execute(select(deliveries.c.id).where(deliveries.c.order_id.in_(orders)))
        return sorted(found.scalars())


def test_while_a_delivery_is_held_only_its_own_courier_waits(
    app: Flask, parcels: list[int], delivery_sessions: sessionmaker[Session]
) -> None:
    def report(delivery_id: int) -> tuple[Any, float]:
        began = time.monotonic()
        answer = app.test_client().patch(f"/deliveries/{delivery_id}/status", json={"status": "IN_TRANSIT"})
        return answer, time.monotonic() - began

    def somebody_waits() -> bool:
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        with transaction(delivery_sessions) as session:
            return session.execute(waits).scalar_one() > 0

    first, *others = parcels
    with ThreadPoolExecutor(16) as couriers:
        with transaction(delivery_sessions) as session:
            session.execute(text("SELECT FROM deliveries WHERE id = :id FOR UPDATE"), {"id": first})
            waits: list[Future[tuple[Any, float]]] = [couriers.submit(report, first)]
            wait_until(somebody_waits)
            for _ in range(2):  # in the next round too
                waits.append(couriers.submit(report, first))
                ended = [each.result(30) for each in [couriers.submit(report, each) for each in others]]
                assert [answer.status_code for answer, _ in ended] == [200] * len(others)
                assert max(seconds for _, seconds in ended) < SOON
            unknown, seconds = report(2**62)
            assert (unknown.status_code, seconds < SOON) == (404, True)
            assert not any(each.done() for each in waits)
        assert [each.result(30)[0].status_code for each in waits] == [200] * 3
    assert waits[0].result()[0].json["version"] == 2, "it moved once"
