"""What inventory accepts from its queues."""

import msgspec
import pytest

from inventory.messages import CheckAvailability, ReleaseStock, ReserveStock

ORDER = "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"
LINE = {"product_id": "01920f41-0a3e-7c11-8f5e-2b6d9e0c4a77", "quantity": 2}


def test_fields_that_are_not_for_inventory_are_ignored():
    raw = {"order_id": ORDER, "kind": "place", "no": 1, "address": "Lyon", "lines": [{**LINE, "price": "2.55"}]}
    order = msgspec.convert(raw, CheckAvailability)
    assert [(str(line.product_id), line.quantity) for line in order.lines] == [(LINE["product_id"], 2)]


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "2", None, True])
def test_a_line_wants_a_whole_number_of_at_least_one_unit(quantity):
    """A negative one would give stock to whoever sends it."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"order_id": ORDER, "lines": [{**LINE, "quantity": quantity}]}, ReserveStock)


@pytest.mark.parametrize("kind", [CheckAvailability, ReserveStock])
def test_an_order_without_lines_is_no_order(kind):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"order_id": ORDER, "lines": []}, kind)


@pytest.mark.parametrize("outcome", ["OK", "rejected", 1])
def test_an_outcome_is_ok_or_refused(outcome):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"order_id": ORDER, "outcome": outcome}, ReleaseStock)


def test_an_order_that_says_nothing_of_its_outcome_is_ok():
    assert msgspec.convert({"order_id": ORDER}, ReleaseStock).outcome == "ok"
