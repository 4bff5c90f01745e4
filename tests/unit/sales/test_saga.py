"""The saga's chains: given an order, these links, in this order. No broker, no database."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from celeryconfig import QUEUE_OF_TASK
from sales import saga

ORDER = UUID("0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4")
LINES = [{"product_id": "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10", "quantity": 2}]
WORKFLOWS = [saga.place, saga.cancel, saga.move, saga.report]


def links(workflow: Any) -> list[str]:
    return [each["task"] for each in workflow.tasks]


def test_an_order_that_is_placed_is_checked_priced_reserved_dispatched_and_confirmed() -> None:
    order = saga.message(ORDER, "place", 0, "c-1", address="12 Rue de la Paix", lines=LINES)

    assert links(saga.place(order)) == [
        "inventory.check_availability",
        "sales.record_inventory_response",
        "inventory.reserve_stock",
        "delivery.create_delivery",
        "sales.update_order_status",
    ]


def test_an_order_that_is_cancelled_stops_its_parcel_gives_the_stock_back_and_is_confirmed() -> None:
    assert links(saga.cancel(saga.message(ORDER, "cancel", 1, "c-1"))) == [
        "delivery.cancel_delivery",
        "inventory.release_stock",
        "sales.update_order_status",
    ]


def test_a_parcel_is_moved_and_the_order_follows() -> None:
    move = saga.message(ORDER, "move", 4, "c-1", to_status="IN_TRANSIT", expected_version=1, actor="operator")

    assert links(saga.move(move)) == ["delivery.update_delivery", "sales.update_order_status"]


def test_delivery_is_asked_where_a_parcel_is_and_the_order_follows() -> None:
    assert links(saga.report(saga.message(ORDER, "report", 0, None))) == [
        "delivery.report_status",
        "sales.update_order_status",
    ]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_only_the_first_link_is_given_the_order_and_the_others_get_it_from_the_one_before(
    workflow: Callable[[saga.Order], Any],
) -> None:
    order = saga.message(ORDER, "place", 0, "c-1")

    first, *rest = workflow(order).tasks

    assert list(first["args"]) == [[order]]
    assert not any(each["args"] or each["kwargs"] or each["options"] for each in rest)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_no_link_has_an_error_callback(workflow: Callable[[saga.Order], Any]) -> None:
    """It would also fire when only the hand-over failed."""
    assert not any("link_error" in each["options"] for each in workflow(saga.message(ORDER, "place", 0, None)).tasks)


def test_a_message_says_which_order_it_is_about_and_for_which_of_its_chains_it_speaks() -> None:
    assert saga.message(ORDER, "cancel", 2, "c-1", note="x") == {
        "order_id": str(ORDER),
        "kind": "cancel",
        "no": 2,
        "correlation_id": "c-1",
        "note": "x",
    }


def test_the_chains_name_every_task_that_has_a_queue_and_no_other() -> None:
    assert saga.tasks() == set(QUEUE_OF_TASK)
