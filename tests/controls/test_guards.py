"""Negative controls: each guard is taken away, and the checker that finds nothing otherwise has to find the harm.

Every test is played twice: ``guarded``, where the checker may find nothing, and ``unguarded``, where it has to find
the violation that the test names. The story, with its death or its late message, is the same.
"""

import pytest

from tests.controls import guards, stories
from tests.controls.conftest import Control
from tests.controls.guards import dies, late
from tests.integration.pipeline.killer import KILLER

pytestmark = pytest.mark.rabbitmq

#: Another order has gone the whole way behind it, and it still stands where it was.
LOST = r"in_flight .*: Pending; should be: an order that has ended"


def test_without_unique_reservations_a_redelivered_message_takes_stock_twice(control: Control) -> None:
    story = dies("inventory.reserve_stock (place): before acknowledgement")
    control(guards.RESERVATION_KEY_AND_LEDGER_INDEX, story, finds=r"ledger .*: holds 4 of .*; should be: 2 of")


def test_without_the_reservation_key_alone_the_ledger_refuses_and_people_are_called(control: Control) -> None:
    story = dies("inventory.reserve_stock (place): before acknowledgement")
    control(guards.RESERVATION_KEY, story, finds=r"quarantine: .*ix_stock_movements_order_id")


def test_without_tombstones_in_inventory_a_late_reserve_takes_stock_for_a_cancelled_order(control: Control) -> None:
    story = dies("inventory.reserve_stock (late): before acknowledgement")
    control(guards.STOCK_TOMBSTONES, story, finds=r"ledger .*; should be: nothing \(Cancelled")


def test_without_tombstones_in_delivery_a_late_parcel_leaves_for_a_cancelled_order(control: Control) -> None:
    story = late(stories.a_parcel_comes_after_its_cancel)
    control(guards.PARCEL_TOMBSTONES, story, finds=r"delivery .*: Cancelled, delivery PENDING")


def test_without_the_first_message_in_the_transaction_of_the_order_a_death_loses_the_order(control: Control) -> None:
    story = dies("sales POST /orders: after commit")
    control(guards.OUTBOX_OF_A_REQUEST, story, finds=LOST)


def test_without_the_next_message_in_the_transaction_of_the_step_a_parcel_leaves_that_holds_no_stock(
    control: Control,
) -> None:
    story = late(stories.the_last_unit_breaks_while_its_worker_is_dead)
    control(guards.OUTBOX_OF_A_STEP_BEFORE, story, finds=r"reservation .*: Pending Shipment, reservation refused")


def test_with_the_next_message_in_a_transaction_behind_the_step_it_is_sent_when_the_step_is_repeated(
    control: Control,
) -> None:
    control(guards.OUTBOX_OF_A_STEP, dies("inventory.reserve_stock (place): after commit"), finds=None)


def test_without_that_and_without_acks_late_a_death_after_commit_loses_the_order(control: Control) -> None:
    story = dies("inventory.reserve_stock (place): after commit")
    scene = {"worker-inventory": stories.SLOW_WORK["inventory"]}
    control(guards.OUTBOX_OF_A_STEP_AND_ACKS_LATE, story, finds=LOST, scene=scene)


@pytest.mark.parametrize(
    ("service", "task"),
    [
        ("inventory", "inventory.reserve_stock"),
        ("sales", "sales.record_inventory_response"),
        ("delivery", "delivery.create_delivery"),
    ],
)
def test_without_acks_late_a_death_at_work_loses_the_order(control: Control, service: str, task: str) -> None:
    story = dies(f"{task} (place): before commit")
    scene = {f"worker-{service}": stories.SLOW_WORK[service]}
    control(guards.ACKS_LATE[service], story, finds=LOST, scene=scene)


def test_without_stored_decisions_a_copy_rejects_an_order_that_ships(control: Control) -> None:
    story = late(stories.a_copy_finds_the_shelf_empty)
    control(guards.STORED_DECISIONS, story, finds=r"delivery .*: Rejected, delivery PENDING")


def test_without_cancel_numbers_a_late_copy_of_a_refused_cancel_cancels_the_parcel(control: Control) -> None:
    story = late(stories.a_refused_cancel_comes_again)
    control(guards.CANCEL_NUMBERS, story, finds=r"delivery .*: Delivery Failed, delivery CANCELLED")


def test_without_the_delivery_version_old_news_moves_an_order_back(control: Control) -> None:
    story = late(stories.old_news_of_a_parcel)
    control(guards.DELIVERY_VERSION, story, finds=r"delivery .*: In Transit, delivery DELIVERED")


def test_without_the_time_of_a_scan_a_late_one_takes_a_delivered_parcel_back(control: Control) -> None:
    story = late(stories.a_scan_comes_late)
    control(guards.TIMES_OF_SCANS, story, finds=r"scans .*: delivery IN_TRANSIT, scanned as DELIVERED")


def test_without_one_lock_order_two_workers_deadlock(control: Control) -> None:
    story = late(stories.two_workers_want_the_same_products)
    scene = {"worker-inventory": stories.SLOW_LOCKS}
    control(guards.LOCK_ORDER, story, finds=r"deadlock: \d+", scene=scene)


def test_without_the_key_in_the_database_a_request_that_is_repeated_makes_two_orders(control: Control) -> None:
    story = dies("gateway POST /orders: after the upstream answered")
    control(guards.DATABASE_KEY, story, finds=r"request: /orders was answered with")


def test_without_counted_attempts_a_killer_goes_on_killing(control: Control) -> None:
    story = late(stories.an_order_kills_its_workers)
    control(guards.ATTEMPTS, story, finds=r"killer: ", scene={"worker-inventory": KILLER})
