"""The sweeper on a real PostgreSQL: what is lost is sent again, what only waits is left alone, an outage flags nobody.

Time passes by moving every moment in the database into the past.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import open_database, transaction
from chassis.idempotency import RequestKey
from chassis.outbox import outbox
from chassis.settings import read, settings
from conveyor.embedded.ports import free_port
from sales import following, placing, pricing, service, sweeping, timeline
from sales.messages import InventoryResponse, StatusUpdate
from sales.models import customers, order_events, order_sagas, orders
from sales.queries import order_with_items
from tasks.sweeper import Sweeper
from tests.integration.waiting import read_as_stored

PLACE_CHAIN = [
    "inventory.check_availability",
    "sales.record_inventory_response",
    "inventory.reserve_stock",
    "delivery.create_delivery",
    "sales.update_order_status",
]


class Shop:
    """A shop whose orders, messages and clock the test moves by hand."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions
        self.sweeper = Sweeper(sessions, settings())
        with transaction(sessions) as session:
            session.execute(text("DELETE FROM outbox"))
            session.execute(text("DELETE FROM order_sagas"))
            # Nobody asks after other tests' parcels here: a round has room for a hundred only.
            session.execute(
                text("UPDATE orders SET status = 'Delivered' WHERE status IN ('Pending Shipment', 'In Transit')")
            )
            details = {"name": "Ada", "email": f"{uuid7().hex}@example.org", "address": "1 Main Street"}
            self.customer_id: UUID = service.register_customer(session, details, None)[0].id

    def place(self, *, relayed: bool = True) -> UUID:
        """An order; unless told otherwise, all that waited in the outbox has left it."""
        draft = {"customer_id": self.customer_id, "items": [{"product_id": uuid7(), "quantity": 1}]}
        with transaction(self.sessions) as session:
            order, _ = placing.place_order(session, draft, None, "trace")
        if relayed:
            self.relay()
        order_id: UUID = order["id"]
        return order_id

    def cancel(self, order_id: UUID) -> None:
        with transaction(self.sessions) as session:
            service.request_cancel(session, order_id, "trace")
        self.relay()

    def finish(self, order_id: UUID) -> UUID:
        """The last step of the place chain has run."""
        update_ = StatusUpdate(order_id=order_id, kind="place", no=0, delivery_status="PENDING", delivery_version=1)
        with transaction(self.sessions) as session:
            following.update_order_statuses(session, [update_])
        return order_id

    def refuse(self, order_id: UUID) -> None:
        """The catalogue has refused the order, halfway down its chain."""
        refusal = InventoryResponse(order_id=order_id, outcome="refused", reason="unknown_product")
        with transaction(self.sessions) as session:
            pricing.record_inventory_responses(session, [refusal])

    def relay(self) -> list[Row[Any]]:
        """What waited in the outbox has left it."""
        with transaction(self.sessions) as session:
            return list(session.execute(outbox.delete().returning(outbox)))

    def wait(self, seconds: float) -> None:
        with transaction(self.sessions) as session:
            for table, moments in (
                ("order_sagas", ("started_at", "sent_at", "deadline", "closed_at")),
                ("orders", ("updated_at", "delivery_asked_at")),
            ):
                moved = ", ".join(f"{each} = {each} - :passed" for each in moments)
                session.execute(text(f"UPDATE {table} SET {moved}"), {"passed": timedelta(seconds=seconds)})

    def sweep(self) -> list[Row[Any]]:
        """One round; the rows that it put into the outbox."""
        before = {row.id for row in self.waiting()}
        self.sweeper.round()
        return [row for row in self.waiting() if row.id not in before]

    def waiting(self) -> list[Row[Any]]:
        with transaction(self.sessions) as session:
            return list(session.execute(select(outbox).order_by(outbox.c.id)))

    def saga(self, order_id: UUID) -> Row[Any]:
        with transaction(self.sessions) as session:
            return session.execute(select(order_sagas).where(order_sagas.c.order_id == order_id)).one()

    def order(self, order_id: UUID) -> Row[Any]:
        with transaction(self.sessions) as session:
            return session.execute(select(orders).where(orders.c.id == order_id)).one()


@pytest.fixture
def shop(sales_sessions: sessionmaker[Session]) -> Shop:
    return Shop(sales_sessions)


def orders_in(rows: Iterable[Row[Any]]) -> list[str]:
    return sorted(order["order_id"] for row in rows for order in row.bundle)


class TestALostOrder:
    def test_is_sent_again_once_with_its_kind_and_number_and_its_whole_chain(self, shop: Shop) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        (sent,) = shop.sweep()
        (order,) = sent.bundle
        assert (order["order_id"], order["kind"], order["no"]) == (str(lost), "place", 0)
        assert (order["address"], order["correlation_id"], len(order["lines"])) == ("1 Main Street", "trace", 1)
        assert [sent.task, *(each["task"] for each in sent.links)] == PLACE_CHAIN
        assert shop.saga(lost).attempts == 1
        assert shop.sweep() == []

    def test_is_left_alone_before_its_deadline(self, shop: Shop) -> None:
        shop.place()
        shop.finish(shop.place())
        shop.wait(29)
        assert shop.sweep() == []

    def test_is_left_alone_when_a_younger_one_has_overtaken_it_only_now(self, shop: Shop) -> None:
        lost = shop.place()
        shop.wait(31)
        shop.finish(shop.place())
        assert shop.sweep() == []
        shop.wait(31)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_is_left_alone_when_a_younger_one_that_took_long_has_overtaken_it_only_now(self, shop: Shop) -> None:
        lost, younger = shop.place(), shop.place()
        shop.wait(40)
        shop.finish(younger)
        assert shop.sweep() == []
        shop.wait(31)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_is_left_alone_while_its_own_message_waits_in_the_outbox(self, shop: Shop) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        shop.sweep()
        shop.finish(shop.place(relayed=False))
        shop.wait(1000)
        assert shop.sweep() == []
        shop.relay()
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_is_not_lost_again_before_an_order_younger_than_its_last_sending_has_finished(self, shop: Shop) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        shop.sweep()
        shop.relay()
        shop.wait(61)
        assert shop.sweep() == []
        shop.finish(shop.place())
        shop.wait(31)
        assert orders_in(shop.sweep()) == [str(lost)]
        assert shop.saga(lost).attempts == 2

    def test_is_put_before_people_after_ten_tries_and_then_left_alone(self, shop: Shop) -> None:
        lost = shop.place()
        for attempt in range(10):
            shop.finish(shop.place())
            shop.wait(601)
            assert orders_in(shop.sweep()) == [str(lost)], attempt
            shop.relay()
        shop.finish(shop.place())
        shop.wait(601)
        assert shop.sweep() == []
        assert shop.order(lost).needs_attention
        with transaction(shop.sessions) as session:
            attention = order_with_items(session, lost)["attention"]
        assert (attention.code, attention.next) == ("messages_lost", f"conveyor order resume {lost}")
        assert self.events(shop, lost, "needs_attention") == 1
        shop.finish(shop.place())
        shop.wait(6000)
        assert shop.sweep() == []
        assert self.events(shop, lost, "needs_attention") == 1

    def test_begins_to_count_anew_when_it_is_resumed(self, shop: Shop) -> None:
        lost = self.flagged(shop)
        with transaction(shop.sessions) as session:
            service.resume(session, lost, "ada")
        assert orders_in(shop.relay()) == [str(lost)]
        saga = shop.saga(lost)
        assert (saga.attempts, saga.sends, saga.last_error) == (0, 0, None)
        assert not shop.order(lost).needs_attention
        shop.finish(shop.place())
        shop.wait(31)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_has_neither_flag_nor_count_once_it_has_ended(self, shop: Shop) -> None:
        lost = self.flagged(shop)
        shop.finish(lost)
        saga = shop.saga(lost)
        assert (saga.attempts, saga.deadline, shop.order(lost).needs_attention) == (0, None, False)

    @staticmethod
    def flagged(shop: Shop) -> UUID:
        lost = shop.place()
        shop.finish(shop.place())
        with transaction(shop.sessions) as session:
            session.execute(update(order_sagas).where(order_sagas.c.order_id == lost).values(attempts=10))
        shop.wait(31)
        shop.sweep()
        assert shop.order(lost).needs_attention
        return lost

    @staticmethod
    def events(shop: Shop, order_id: UUID, kind: str) -> int:
        with transaction(shop.sessions) as session:
            found = session.execute(
                select(order_events).where(order_events.c.order_id == order_id, order_events.c.kind == kind)
            )
            return len(found.all())


class TestAFlaggedOrder:
    def test_takes_no_place_of_another_in_the_round(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "MOST", 2)
        self.flag(shop, [shop.place(), shop.place()])
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_is_left_alone_when_it_was_flagged_a_moment_ago(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        lock = sweeping._lock

        def after_the_flag(*arguments: Any) -> Any:
            self.flag(shop, [lost])
            return lock(*arguments)

        monkeypatch.setattr(sweeping, "_lock", after_the_flag)
        assert shop.sweep() == []

    @staticmethod
    def flag(shop: Shop, order_ids: list[UUID]) -> None:
        with transaction(shop.sessions) as session:
            session.execute(update(orders).where(orders.c.id.in_(order_ids)).values(needs_attention=True))


class TestAnOrderThatOnlyWaits:
    def test_is_left_alone_while_older_orders_are_finishing(self, shop: Shop) -> None:
        older = shop.place()
        shop.place()
        shop.wait(299)
        shop.finish(older)
        assert shop.sweep() == []

    def test_is_not_lost_because_the_catalogue_refused_a_younger_one_halfway(self, shop: Shop) -> None:
        shop.finish(shop.place())
        shop.place()
        shop.refuse(shop.place())
        shop.wait(200)
        assert shop.sweep() == []

    def test_is_not_lost_because_a_younger_cancel_has_finished(self, shop: Shop) -> None:
        older, shipped = shop.place(), shop.place()
        shop.finish(shipped)
        shop.finish(older)
        shop.place()
        shop.cancel(shipped)
        with transaction(shop.sessions) as session:
            cancelled = StatusUpdate(order_id=shipped, kind="cancel", no=1)
            following.update_order_statuses(session, [cancelled])
        shop.wait(200)
        assert shop.sweep() == []

    def test_is_never_sent_again_once_its_saga_is_closed(self, shop: Shop) -> None:
        shop.finish(shop.place())
        shop.finish(shop.place())
        shop.wait(5000)
        assert shop.sweep() == []


class TestAnOutage:
    def test_sends_one_order_again_every_five_minutes_and_counts_nothing(self, shop: Shop) -> None:
        shop.finish(shop.place())
        waiting = [str(shop.place()) for _ in range(12)]
        probes = []
        for minute in range(1, 61):
            shop.wait(60)
            for order in orders_in(shop.sweep()):
                probes.append((minute, order))
            shop.relay()
        assert [minute for minute, _ in probes] == list(range(5, 61, 5))
        assert [order for _, order in probes] == waiting[::-1]
        assert [shop.saga(UUID(each)).attempts for each in waiting] == [0] * 12
        assert not any(shop.order(UUID(each)).needs_attention for each in waiting)

    def test_is_over_for_all_when_the_probe_gets_through(self, shop: Shop) -> None:
        lost = [str(shop.place()) for _ in range(5)]
        shop.wait(301)
        (probe,) = orders_in(shop.sweep())
        assert probe == lost[-1]
        shop.relay()
        shop.finish(UUID(probe))
        shop.wait(31)
        assert orders_in(shop.sweep()) == lost[:-1]

    def test_that_loses_everything_twice_is_over_for_all_when_the_second_probe_gets_through(self, shop: Shop) -> None:
        lost = [shop.place() for _ in range(5)]
        shop.finish(shop.place())
        shop.wait(301)
        assert len(orders_in(shop.sweep())) == 5
        shop.relay()
        shop.wait(301)
        (probe,) = orders_in(shop.sweep())
        shop.relay()
        shop.finish(UUID(probe))
        shop.wait(31)
        assert orders_in(shop.sweep()) == sorted(str(each) for each in lost if str(each) != probe)

    def test_under_which_the_catalogue_only_refuses_does_not_hide_a_lost_order(self, shop: Shop) -> None:
        lost = shop.place()
        for _ in range(4):
            shop.wait(100)
            shop.refuse(shop.place())
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_is_probed_by_another_order_at_once_when_the_catalogue_has_refused_the_probe(self, shop: Shop) -> None:
        lost, probe = shop.place(), shop.place()
        shop.wait(301)
        assert orders_in(shop.sweep()) == [str(probe)]
        shop.relay()
        shop.refuse(probe)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_sends_no_more_than_a_hundred_orders_again_in_a_round(self, shop: Shop) -> None:
        for _ in range(103):
            shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        assert len(shop.sweep()) == 100
        assert len(shop.sweep()) == 3

    def test_of_one_kind_is_probed_though_one_of_the_other_kind_was_a_moment_ago(self, shop: Shop) -> None:
        cancelling = shop.finish(shop.place())
        shop.cancel(cancelling)
        shop.wait(301)
        assert orders_in(shop.sweep()) == [str(cancelling)]
        lost = shop.place()
        shop.wait(45)
        assert orders_in(shop.sweep()) == [str(lost)]

    def test_sends_the_orders_first_that_wait_for_longest(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "MOST", 2)
        lost = [shop.place() for _ in range(4)]
        for number, each in enumerate(lost):
            with transaction(shop.sessions) as session:
                earlier = order_sagas.c.deadline - timedelta(seconds=number)
                session.execute(update(order_sagas).where(order_sagas.c.order_id == each).values(deadline=earlier))
        shop.finish(shop.place())
        shop.wait(40)
        with read_as_stored(shop.sessions):
            assert orders_in(shop.sweep()) == sorted(str(each) for each in lost[2:])

    def test_does_not_hide_behind_couriers_who_move_the_parcels_of_old_orders(self, shop: Shop) -> None:
        shipped = shop.finish(shop.place())
        lost = shop.place()
        assert self.probes(shop, shipped) == [str(lost)]

    def test_control_with_sagas_that_are_closed_again_couriers_hide_the_outage(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whatever = str(timeline._CLOSE_SAGAS).removesuffix(" AND deadline IS NOT NULL")
        monkeypatch.setattr(timeline, "_CLOSE_SAGAS", text(whatever))
        shipped = shop.finish(shop.place())
        shop.place()
        assert self.probes(shop, shipped) == []

    def test_is_not_over_because_a_courier_moves_the_parcel_of_an_order_that_was_rejected(self, shop: Shop) -> None:
        """By hand, since there should be none. A chain that ended halfway has not shown that anything gets through."""
        shop.finish(shop.place())
        waiting = shop.place()
        rejected = shop.place()
        shop.refuse(rejected)
        shop.wait(31)
        self.move(shop, rejected, 2)
        shop.wait(31)
        assert shop.sweep() == []
        assert shop.saga(waiting).attempts == 0

    def probes(self, shop: Shop, shipped: UUID) -> list[str]:
        """What is sent in ten minutes in which nothing gets through, but a courier has news every minute."""
        sent = []
        for minute in range(10):
            shop.wait(60)
            self.move(shop, shipped, minute + 2)
            sent += orders_in(shop.sweep())
        return sorted(set(sent))

    @staticmethod
    def move(shop: Shop, order_id: UUID, version: int) -> None:
        status = ("IN_TRANSIT", "FAILED")[version % 2]
        news = {"delivery_status": status, "delivery_version": version}
        with transaction(shop.sessions) as session:
            update_ = StatusUpdate(order_id=order_id, kind="delivery", no=version, **news)
            following.update_order_statuses(session, [update_])

    def test_of_one_kind_does_not_hide_behind_the_other(self, shop: Shop) -> None:
        cancelling = shop.finish(shop.place())
        shop.cancel(cancelling)
        shop.wait(31)
        shop.finish(shop.place())
        (sent,) = shop.sweep()
        (order,) = sent.bundle
        assert (order["order_id"], order["kind"], order["no"]) == (str(cancelling), "cancel", 1)
        assert sent.task == "delivery.cancel_delivery"

    def test_of_the_database_is_waited_for(self, shop: Shop) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        nowhere = read({"CONVEYOR_SALES_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none"})
        tried = [open_database("sales", nowhere)] * 2
        impatient = replace(settings(), sweep_every=0.05)
        sweeper = Sweeper(lambda: (tried.pop() if tried else shop.sessions)(), impatient)  # type: ignore[arg-type]
        running = threading.Thread(target=sweeper.run)
        running.start()
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while not shop.waiting() and datetime.now(UTC) < deadline:
            running.join(0.05)
        sweeper.stop()
        running.join(10)
        assert not running.is_alive()
        assert orders_in(shop.waiting()) == [str(lost)]


class TestTwoSweepers:
    def test_send_each_order_once_when_they_work_at_the_same_time(self, shop: Shop) -> None:
        lost = sorted(str(shop.place()) for _ in range(40))
        shop.finish(shop.place())
        shop.wait(31)
        together = threading.Barrier(2)

        def sweep() -> None:
            together.wait()
            Sweeper(shop.sessions, settings()).round()

        threads = [threading.Thread(target=sweep) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert orders_in(shop.waiting()) == lost

    def test_look_again_under_the_lock(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        lost = shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        lock = sweeping._lock

        def after_the_other(*arguments: Any) -> Any:
            monkeypatch.setattr(sweeping, "_lock", lock)
            Sweeper(shop.sessions, settings()).round()
            shop.relay()
            return lock(*arguments)

        monkeypatch.setattr(sweeping, "_lock", after_the_other)
        assert shop.sweep() == []
        assert shop.saga(lost).sends == 1

    def test_leave_alone_what_a_step_is_working_on(self, shop: Shop) -> None:
        busy, lost = shop.place(), shop.place()
        shop.finish(shop.place())
        shop.wait(31)
        with transaction(shop.sessions) as step:
            step.execute(select(orders).where(orders.c.id == busy).with_for_update())
            assert orders_in(shop.sweep()) == [str(lost)]


def test_the_process_sweeps_until_it_is_told_to_stop(shop: Shop, tmp_path: Path) -> None:
    lost = shop.place()
    shop.finish(shop.place())
    shop.wait(31)
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "conveyor", "sweeper"], env=os.environ | {"CONVEYOR_READY_FILE": str(ready)}
    )
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    try:
        while not (ready.exists() and shop.waiting()) and datetime.now(UTC) < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
    assert ready.exists()
    assert orders_in(shop.waiting()) == [str(lost)]


class TestASilentParcel:
    def test_is_asked_after_once_a_day_without_a_change_to_the_order(self, shop: Shop) -> None:
        order_id = shop.finish(shop.place())
        shop.wait(86_401)
        before = shop.order(order_id)
        (asked,) = [row for row in shop.sweep() if orders_in([row]) == [str(order_id)]]
        assert [asked.task, *(each["task"] for each in asked.links)] == [
            "delivery.report_status",
            "sales.update_order_status",
        ]
        assert asked.bundle[0]["kind"] == "report"
        after = shop.order(order_id)
        assert (after.version, after.updated_at) == (before.version, before.updated_at)
        assert str(order_id) not in orders_in(shop.sweep())
        shop.wait(86_401)
        assert str(order_id) in orders_in(shop.sweep())

    def test_is_left_alone_while_a_step_works_on_its_order(self, shop: Shop) -> None:
        assert self.asked_beside_a_step(shop)

    def test_control_without_skip_locked_one_order_keeps_the_sweeper_from_all(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "_ASK", text(str(sweeping._ASK).replace(" SKIP LOCKED", "")))
        with pytest.raises(OperationalError, match="lock timeout"):
            self.asked_beside_a_step(shop)

    def asked_beside_a_step(self, shop: Shop) -> bool:
        """Whether the other of two silent parcels is asked after while a step has the order of one."""
        busy, silent = shop.finish(shop.place()), shop.finish(shop.place())
        shop.wait(86_401)
        with transaction(shop.sessions) as step:
            step.execute(select(orders).where(orders.c.id == busy).with_for_update())
            return orders_in(shop.sweep()) == [str(silent)]

    def test_leaves_the_orders_of_other_parcels_as_they_are(self, shop: Shop) -> None:
        silent = shop.finish(shop.place())
        shop.wait(86_401)
        moving, waiting = shop.finish(shop.place()), shop.place()
        assert orders_in(shop.sweep()) == [str(silent)]
        assert [shop.order(each).delivery_asked_at for each in (moving, waiting)] == [None, None]
        assert shop.order(silent).delivery_asked_at is not None

    def test_is_asked_after_in_a_later_round_where_there_are_too_many(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "MOST", 2)
        silent = [shop.finish(shop.place()) for _ in range(3)]
        shop.wait(86_401)
        assert [len(shop.sweep()) for _ in range(3)] == [2, 1, 0]
        assert orders_in(shop.waiting()) == sorted(str(each) for each in silent)

    def test_is_asked_after_before_those_that_are_silent_for_less_long(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "MOST", 1)
        orders_ = [shop.finish(shop.place()) for _ in range(3)]
        longest_first = [orders_[each] for each in (2, 0, 1)]
        with transaction(shop.sessions) as session:
            # The rows are stored anew as they are written here: the other way round.
            for days, each in zip((2, 3, 4), reversed(longest_first), strict=True):
                session.execute(
                    update(orders).where(orders.c.id == each).values(updated_at=text(f"now() - interval '{days} days'"))
                )
        with read_as_stored(shop.sessions):
            assert [orders_in(shop.sweep()) for _ in range(3)] == [[str(each)] for each in longest_first]

    def test_is_not_asked_after_when_somebody_has_asked_while_it_was_looked_for(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.finish(shop.place())
        shop.wait(86_401)
        slow = str(sweeping._ASK).replace("WHERE status", "WHERE pg_sleep(1) IS NOT NULL AND status", 1)
        ask, asked = sweeping._ASK, list[int]()

        def look_slowly() -> None:
            with transaction(shop.sessions) as session:
                monkeypatch.setattr(sweeping, "_ASK", text(slow))
                asked.append(sweeping.ask_delivery(session))

        looking = threading.Thread(target=look_slowly)
        looking.start()
        sleeping = text(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)%' AND wait_event = 'PgSleep'"
        )
        with transaction(shop.sessions) as session:
            while not session.execute(sleeping).scalar_one():
                session.execute(text("SELECT pg_stat_clear_snapshot()"))
        monkeypatch.setattr(sweeping, "_ASK", ask)
        with transaction(shop.sessions) as session:
            assert sweeping.ask_delivery(session) == 1
        looking.join(20)
        assert asked == [0]

    def test_is_asked_after_once_by_two_sweepers(self, shop: Shop) -> None:
        silent = shop.finish(shop.place())
        shop.wait(86_401)
        with transaction(shop.sessions) as first:
            assert sweeping.ask_delivery(first) == 1
            assert shop.sweep() == []
        assert orders_in(shop.waiting()) == [str(silent)]

    def test_is_not_asked_after_while_it_moves(self, shop: Shop) -> None:
        shop.finish(shop.place())
        shop.wait(86_000)
        assert shop.sweep() == []

    def test_is_not_asked_after_when_it_was_delivered(self, shop: Shop) -> None:
        order_id = shop.finish(shop.place())
        arrived = StatusUpdate(
            order_id=order_id, kind="delivery", no=2, delivery_status="DELIVERED", delivery_version=2
        )
        with transaction(shop.sessions) as session:
            following.update_order_statuses(session, [arrived])
        shop.wait(100_000)
        assert str(order_id) not in orders_in(shop.sweep())


class TestAnIdempotencyKey:
    def test_is_forgotten_after_thirty_days_and_not_before(self, shop: Shop) -> None:
        old, young = self.customer(shop, 31), self.customer(shop, 29)
        Sweeper(shop.sessions, settings()).round()
        assert self.key_of(shop, old) == (None, None, None)
        assert self.key_of(shop, young) == ("client", str(young), "hash")

    def test_is_left_alone_while_somebody_works_on_its_row(self, shop: Shop) -> None:
        busy, old = self.customer(shop, 31), self.customer(shop, 32)
        with transaction(shop.sessions) as other:
            other.execute(select(customers).where(customers.c.id == busy).with_for_update())
            Sweeper(shop.sessions, settings()).round()
        assert self.key_of(shop, old) == (None, None, None)
        assert self.key_of(shop, busy) != (None, None, None)
        Sweeper(shop.sessions, settings()).round()
        assert self.key_of(shop, busy) == (None, None, None)

    def test_is_free_for_another_request_at_once_when_it_is_too_old(self, shop: Shop) -> None:
        old = self.customer(shop, 31)
        details = {"name": "Bob", "email": f"{uuid7().hex}@example.org", "address": "2 Main Street"}
        key = RequestKey("client", str(old), "another request")
        with transaction(shop.sessions) as session:
            made, replayed = service.register_customer(session, details, key)
        assert (made.name, replayed) == ("Bob", False)

    @staticmethod
    def customer(shop: Shop, days: int) -> UUID:
        made = datetime.now(UTC) - timedelta(days=days)
        customer_id: UUID = UUID(int=int(made.timestamp() * 1000) << 80 | uuid7().int % 2**80)
        row = {"id": customer_id, "name": "Ada", "email": "ada@example.org", "address": "home", "created_at": made}
        key = {"client": "client", "idempotency_key": str(customer_id), "request_hash": "hash"}
        with transaction(shop.sessions) as session:
            session.execute(customers.insert().values({**row, **key}))
        return customer_id

    @staticmethod
    def key_of(shop: Shop, customer_id: UUID) -> tuple[Any, ...]:
        columns = (customers.c.client, customers.c.idempotency_key, customers.c.request_hash)
        with transaction(shop.sessions) as session:
            return tuple(session.execute(select(*columns).where(customers.c.id == customer_id)).one())
