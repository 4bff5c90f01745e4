"""Two doors at once: what is asked at the same moment ends as if one had come first.

Each race is run again with its guard taken out, and must then be seen to go wrong.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, exc, func, select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import models, scans, service
from delivery.messages import CancelDelivery, CreateDelivery, UpdateDelivery
from delivery.models import deliveries, delivery_logs
from delivery.status import DeliveryStatus
from tests.integration.waiting import can_be_locked, meanwhile, read_as_stored, until_somebody_waits_for

Sessions = sessionmaker[Session]
ROUNDS = 15
BUNDLE = 8


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Start all of this at the same moment; results in the order asked, or the first error."""
    start = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(timeout=10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result(timeout=60) for each in [pool.submit(run, work) for work in works]]


def rows_of(sessions: Sessions, orders: list[UUID]) -> list[Row[Any]]:
    with transaction(sessions) as session:
        return list(session.execute(select(deliveries).where(deliveries.c.order_id.in_(orders))).all())


def create(sessions: Sessions, orders: list[UUID]) -> Any:
    with transaction(sessions) as session:
        return service.create_delivery(session, [CreateDelivery(order_id=each, address="Lyon") for each in orders])


def cancel(sessions: Sessions, orders: list[UUID], no: int = 1) -> Any:
    with transaction(sessions) as session:
        return service.cancel_delivery(session, [CancelDelivery(order_id=each, no=no) for each in orders])


def move(sessions: Sessions, orders: list[UUID], to: Any = "IN_TRANSIT", at: int = 1) -> Any:
    said = [UpdateDelivery(order_id=each, to_status=to, expected_version=at) for each in orders]
    with transaction(sessions) as session:
        return service.update_delivery(session, said)


def report_by_courier(sessions: Sessions, delivery_id: int, to: DeliveryStatus) -> Any:
    """What PATCH does; what the parcel is then."""
    report = scans.Report(delivery_id, scans.Scan(to), "a-correlation-id")
    with transaction(sessions) as session:
        [answer] = scans.follow_couriers(session, [report], wait=True)
    assert isinstance(answer, dict)
    return answer["status"]


def log_lengths(sessions: Sessions, orders: list[UUID]) -> dict[int, int]:
    entries = select(deliveries.c.id, func.count()).join(delivery_logs).where(deliveries.c.order_id.in_(orders))
    with transaction(sessions) as session:
        return dict(iter(session.execute(entries.group_by(deliveries.c.id))))


def test_create_against_cancel_leaves_one_cancelled_delivery_whoever_was_first(delivery_sessions: Sessions) -> None:
    for _ in range(ROUNDS):
        orders = [uuid7() for _ in range(BUNDLE)]

        created, cancelled, again = at_once(
            lambda orders=orders: create(delivery_sessions, orders),
            lambda orders=orders: cancel(delivery_sessions, orders[::-1]),
            lambda orders=orders: create(delivery_sessions, orders[::-1]),
        )

        rows = rows_of(delivery_sessions, orders)
        assert sorted(row.order_id for row in rows) == sorted(orders)
        assert {(row.status, row.cancel_no) for row in rows} == {("CANCELLED", 1)}
        assert {each.outcome for each in cancelled} == {"ok"}
        tombstones = {row.order_id for row in rows if row.address is None}
        for answer in [*created, *again]:
            assert answer.outcome == "refused" or answer.order_id not in tombstones
            assert (answer.outcome == "refused") == (answer.delivery_status == "CANCELLED")
        assert log_lengths(delivery_sessions, orders) == {row.id: row.version for row in rows}


def test_a_courier_against_a_cancel_either_takes_the_parcel_or_hears_that_it_is_cancelled(
    delivery_sessions: Sessions,
) -> None:
    for _ in range(ROUNDS):
        orders = [uuid7()]
        create(delivery_sessions, orders)
        [row] = rows_of(delivery_sessions, orders)

        [cancelled], said = at_once(
            lambda orders=orders: cancel(delivery_sessions, orders),
            lambda row=row: report_by_courier(delivery_sessions, row.id, DeliveryStatus.IN_TRANSIT),
        )

        [row] = rows_of(delivery_sessions, orders)
        assert (cancelled.outcome, said, row.status) in {
            ("ok", "CANCELLED", "CANCELLED"),
            ("refused", "IN_TRANSIT", "IN_TRANSIT"),
        }
        assert row.version == 2


def check_that_one_of_two_moves_wins(sessions: Sessions) -> None:
    """DELIVERED and FAILED are asked for at once, each for the version that the delivery has."""
    for _ in range(ROUNDS):
        orders = sorted(uuid7() for _ in range(BUNDLE))
        create(sessions, orders)
        move(sessions, orders)

        answers = at_once(
            lambda orders=orders: move(sessions, orders, "DELIVERED", at=2),
            lambda orders=orders: move(sessions, orders[::-1], "FAILED", at=2),
        )

        granted = [each.order_id for answer in answers for each in answer if each.outcome == "ok"]
        assert sorted(granted) == orders, "both moves, or neither, were granted"
        assert set(log_lengths(sessions, orders).values()) == {3}


def test_of_two_moves_asked_for_the_same_version_one_wins(delivery_sessions: Sessions) -> None:
    check_that_one_of_two_moves_wins(delivery_sessions)


def test_without_the_row_lock_both_moves_win(delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    meet = Barrier(2)

    def unlocked(session: Session, order_ids: Any) -> dict[UUID, models.Delivery]:
        rows = session.execute(select(deliveries).where(deliveries.c.order_id.in_(list(order_ids)))).all()
        if {row.version for row in rows} == {2}:
            meet.wait(timeout=10)
        return {
            row.order_id: models.Delivery(
                row.id, row.order_id, DeliveryStatus(row.status), row.version, row.cancel_no, row.address, row.public_id
            )
            for row in rows
        }

    monkeypatch.setattr(service, "lock_orders", unlocked)
    # One after the other in the order of ids: what is missing is the lock, not the order of the writes.
    monkeypatch.setattr(service, "save", lambda session, held: models.save(session, sorted(held, key=lambda d: d.id)))

    with pytest.raises(AssertionError, match="both moves"):
        check_that_one_of_two_moves_wins(delivery_sessions)


def check_that_opposite_bundles_do_not_deadlock(sessions: Sessions) -> None:
    """Two bundles of the same orders, one the other way round."""
    for _ in range(ROUNDS):
        orders = [uuid7() for _ in range(BUNDLE)]
        create(sessions, orders)
        at_once(
            lambda orders=orders: cancel(sessions, orders),
            lambda orders=orders: move(sessions, orders[::-1]),
            lambda orders=orders: cancel(sessions, orders[::-1], no=2),
        )


def test_bundles_that_name_the_same_orders_in_opposite_order_do_not_deadlock(delivery_sessions: Sessions) -> None:
    check_that_opposite_bundles_do_not_deadlock(delivery_sessions)


def test_rows_locked_in_the_order_of_the_bundle_deadlock(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet = Barrier(2)

    def as_they_come(session: Session, orders: Any) -> list[Any]:
        held = {}
        for n, each in enumerate(orders):
            if n == 1:
                meet.wait(timeout=10)
            held |= models.lock_orders(session, [each.order_id])
        return list(held.values())

    monkeypatch.setattr(service, "update_delivery", as_they_come)
    orders = [uuid7() for _ in range(2)]
    create(delivery_sessions, orders)

    with pytest.raises(exc.OperationalError, match="deadlock"):
        at_once(lambda: move(delivery_sessions, orders), lambda: move(delivery_sessions, orders[::-1]))


def waits_for_the_lowest_and_holds_none(sessions: Sessions, work: Callable[[list[UUID]], Any]) -> bool:
    """Whether who does this to all orders, and waits for the lowest, holds no other. They are stored upside down."""
    lowest, *above = sorted(uuid7() for _ in range(6))
    create(sessions, [*above, lowest])
    lock = "SELECT FROM deliveries WHERE order_id = ANY(:ids) FOR UPDATE"
    with transaction(sessions) as session:
        session.execute(text("UPDATE deliveries SET updated_at = now() WHERE order_id = :id"), {"id": lowest})
    with transaction(sessions) as session:
        session.execute(text(lock), {"ids": [lowest]})
        with meanwhile(lambda: work([*reversed(above), lowest])) as done:
            until_somebody_waits_for(session, sessions)
            free = can_be_locked(sessions, lock, ids=above)
            session.commit()
        done.result()
    return free


def insert_waits_for_the_lowest_and_has_made_none(sessions: Sessions) -> bool:
    """The same of orders that have no delivery yet, one of which is just being made by somebody else."""
    lowest, *above = sorted(uuid7() for _ in range(6))
    insert = "INSERT INTO deliveries (order_id, status, address) VALUES (:id, 'PENDING', 'Lyon')"
    with transaction(sessions) as session:
        session.execute(text(insert), {"id": lowest})
        with meanwhile(lambda: create(sessions, [*reversed(above), lowest])) as done:
            until_somebody_waits_for(session, sessions)
            free = all(can_be_locked(sessions, insert, id=each) for each in above)
            session.commit()
        done.result()
    return free


def test_a_bundle_takes_its_deliveries_lowest_order_first(delivery_sessions: Sessions) -> None:
    with read_as_stored(delivery_sessions):
        assert waits_for_the_lowest_and_holds_none(delivery_sessions, lambda ids: cancel(delivery_sessions, ids))
        assert waits_for_the_lowest_and_holds_none(delivery_sessions, lambda ids: move(delivery_sessions, ids))
    assert insert_waits_for_the_lowest_and_has_made_none(delivery_sessions)


def test_a_bundle_leaves_the_deliveries_of_others_to_others(delivery_sessions: Sessions) -> None:
    ours, theirs = uuid7(), uuid7()
    create(delivery_sessions, [ours, theirs])
    lock = "SELECT FROM deliveries WHERE order_id = :id FOR UPDATE"
    with transaction(delivery_sessions) as session:
        service.cancel_delivery(session, [CancelDelivery(order_id=ours, no=1)])
        assert not can_be_locked(delivery_sessions, lock, id=ours)
        assert can_be_locked(delivery_sessions, lock, id=theirs)


def test_control_a_bundle_that_takes_them_highest_first_holds_what_others_wait_for(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def highest_first(session: Session, condition: Any) -> list[models.Delivery]:
        found = select(deliveries).where(condition).order_by(deliveries.c.order_id.desc())
        rows = session.execute(found.with_for_update())
        names = [each.name for each in fields(models.Delivery) if each.name != "entries"]
        held = [models.Delivery(**{name: getattr(row, name) for name in names}) for row in rows]
        return [replace(each, status=DeliveryStatus(each.status)) for each in held]

    monkeypatch.setattr(models, "_lock", highest_first)
    assert not waits_for_the_lowest_and_holds_none(delivery_sessions, lambda ids: move(delivery_sessions, ids))


def test_control_a_bundle_that_makes_them_in_its_own_order_keeps_others_from_theirs(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_INSERT", text(str(models._INSERT).replace(" ORDER BY order_id", "")))
    assert not insert_waits_for_the_lowest_and_has_made_none(delivery_sessions)


@contextmanager
def without_unique_orders(sessions: Sessions) -> Iterator[Session]:
    """A transaction in which an order may have two deliveries; nothing of it stays."""
    with sessions() as session:
        session.execute(text("ALTER TABLE deliveries DROP CONSTRAINT uq_deliveries_order_id"))
        yield session
        session.rollback()


def test_create_does_not_work_at_all_where_orders_are_not_unique(delivery_sessions: Sessions) -> None:
    with without_unique_orders(delivery_sessions) as session, pytest.raises(exc.ProgrammingError, match="ON CONFLICT"):
        service.create_delivery(session, [CreateDelivery(order_id=uuid7(), address="Lyon")])


def test_a_look_before_the_insert_would_not_replace_the_unique_order(delivery_sessions: Sessions) -> None:
    order_id = uuid7()
    statement = text("INSERT INTO deliveries (order_id, status, address) VALUES (:order_id, 'PENDING', 'Lyon')")

    with without_unique_orders(delivery_sessions) as session:
        for _ in range(2):
            session.execute(statement, {"order_id": order_id})
        count = select(func.count()).select_from(deliveries).where(deliveries.c.order_id == order_id)
        assert session.scalar(count) == 2
