"""The table of a product's moves, every pair of it."""

from itertools import product

import pytest

from inventory.errors import IllegalTransition
from inventory.status import MOVES, ProductStatus, check_move

ALLOWED = {
    ("active", "inactive"),
    ("active", "discontinued"),
    ("inactive", "active"),
    ("inactive", "discontinued"),
}
PAIRS = list(product(ProductStatus, ProductStatus))


@pytest.mark.parametrize(("current", "to"), [pair for pair in PAIRS if pair[0] == pair[1] or pair in ALLOWED])
def test_a_product_may_stay_where_it_is_and_make_the_moves_of_the_table(current, to):
    check_move(current, to)


@pytest.mark.parametrize(("current", "to"), [pair for pair in PAIRS if pair[0] != pair[1] and pair not in ALLOWED])
def test_every_other_move_is_refused_naming_from_to_and_what_is_allowed(current, to):
    with pytest.raises(IllegalTransition) as refused:
        check_move(current, to)
    assert refused.value.extra == {"from": current, "to": to, "allowed": list(MOVES[current])}
    assert f"from {current} to {to}" in refused.value.detail


def test_the_table_names_every_status():
    assert set(MOVES) == set(ProductStatus)
