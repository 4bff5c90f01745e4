"""What delivery takes for a message and what it does not."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from delivery.messages import CancelDelivery, CreateDelivery, Dispatched, ReportStatus, UpdateDelivery

ORDER = "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"


def test_fields_of_other_steps_are_ignored() -> None:
    order = {"order_id": ORDER, "address": "12 rue de la Paix", "kind": "place", "lines": [], "new_field": 1}

    assert msgspec.convert(order, CreateDelivery) == CreateDelivery(order_id=UUID(ORDER), address="12 rue de la Paix")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"order_id": ORDER}, CreateDelivery),
        ({"order_id": "17", "address": "12 rue de la Paix"}, CreateDelivery),
        ({"order_id": ORDER, "address": "12 rue de la Paix", "outcome": "maybe"}, CreateDelivery),
        ({"order_id": ORDER, "no": 0}, CancelDelivery),
        ({"order_id": ORDER, "no": 1, "to_status": "CANCELLED", "expected_version": 1}, UpdateDelivery),
        ({"order_id": ORDER, "no": 1, "to_status": "PENDING", "expected_version": 1}, UpdateDelivery),
        ({"order_id": ORDER, "no": 1, "to_status": "DELIVERED"}, UpdateDelivery),
        ({}, ReportStatus),
    ],
)
def test_a_message_that_makes_no_sense_is_a_fault(order: dict[str, Any], message: type[msgspec.Struct]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(order, message)


def test_a_dispatched_order_carries_no_address_further() -> None:
    answer = Dispatched(order_id=UUID(ORDER), delivery_status="PENDING", delivery_version=1)

    assert msgspec.to_builtins(answer)["address"] is None
