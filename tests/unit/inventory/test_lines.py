"""Lines, and why one cannot be filled."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from inventory.messages import Line
from inventory.queries import merge_lines, why_not_order

LAMP, CHAIR = UUID(int=1), UUID(int=2)


def lamp(stock: int, status: str = "active") -> SimpleNamespace:
    return SimpleNamespace(name="Lamp", sku="L-1", stock_quantity=stock, status=status)


def test_lines_of_the_same_product_want_their_sum():
    assert merge_lines([Line(LAMP, 2), Line(CHAIR, 1), Line(LAMP, 3)]) == {LAMP: 5, CHAIR: 1}


def test_merged_lines_keep_the_order_in_which_products_are_named():
    assert list(merge_lines([Line(CHAIR, 1), Line(LAMP, 1), Line(CHAIR, 1)])) == [CHAIR, LAMP]


@pytest.mark.parametrize(
    ("product", "reason"),
    [
        (None, "unknown_product"),
        (lamp(9, "inactive"), "product_inactive"),
        (lamp(9, "discontinued"), "product_inactive"),
        (lamp(2), "insufficient_stock"),
        (lamp(0), "insufficient_stock"),
    ],
)
def test_three_units_are_refused_with_the_reason(product, reason):
    assert why_not_order(LAMP, product, 3).reason == reason


def test_the_last_units_can_be_had():
    assert why_not_order(LAMP, lamp(3), 3) is None


def test_a_refusal_for_want_of_stock_says_what_was_wanted_and_what_is_there():
    assert why_not_order(LAMP, lamp(2), 3).detail == "Lamp (L-1): 3 wanted, 2 in stock."
