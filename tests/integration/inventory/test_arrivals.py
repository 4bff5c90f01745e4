"""Messages in any order, doubled, in any bundles: the decisions are those of one clerk with one book.

The clerk is a dozen lines of Python without a database. The last class takes the guards away one by one and sees that
the same comparison finds out.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, text

from chassis.database import transaction
from inventory import models


@dataclass
class Clerk:
    """One person, one book: first come, first served; an order is decided on once."""

    stock: list[int]
    decided: dict[int, str | None] = field(default_factory=dict)
    held: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def reserve(self, order, lines):
        if order not in self.decided:
            wanted = [
                sum(quantity for product, quantity in lines if product == each) for each in range(len(self.stock))
            ]
            fits = all(want <= have for want, have in zip(wanted, self.stock, strict=True))
            self.decided[order] = None if fits else "insufficient_stock"
            if fits:
                self.stock = [have - want for want, have in zip(wanted, self.stock, strict=True)]
                self.held[order] = wanted
        return self.decided[order]

    def release(self, order):
        given_back = self.held.pop(order, [0] * len(self.stock))
        self.stock = [have + back for have, back in zip(self.stock, given_back, strict=True)]
        if self.decided.get(order) is None:
            self.decided[order] = "cancelled"


@dataclass(frozen=True)
class Story:
    """Opening stock, the orders' lines ``(product, quantity)``, and bundles ``(step, orders)`` as they arrive."""

    stock: list[int]
    orders: list[list[tuple[int, int]]]
    bundles: list[tuple[str, list[int]]]


@st.composite
def stories(draw):
    products = draw(st.integers(1, 3))
    line = st.tuples(st.integers(0, products - 1), st.integers(1, 4))
    orders = draw(st.lists(st.lists(line, min_size=1, max_size=3), min_size=1, max_size=5))
    bundle = st.tuples(
        st.sampled_from(["reserve", "reserve", "release"]),
        st.lists(st.integers(0, len(orders) - 1), min_size=1, max_size=6),
    )
    stock = draw(st.lists(st.integers(0, 7), min_size=products, max_size=products))
    return Story(stock, orders, draw(st.lists(bundle, max_size=8)))


def play(warehouse, story):
    """Let the story happen in the warehouse and at the clerk's, and compare after each bundle, then audit."""
    clerk = Clerk(story.stock)
    products = [warehouse.product(each) for each in story.stock]
    orders = [
        warehouse.order(*((products[product], quantity) for product, quantity in lines)) for lines in story.orders
    ]
    for step, bundle in story.bundles:
        if step == "reserve":
            expected = [clerk.reserve(each, story.orders[each]) for each in bundle]
            assert warehouse.reserve(*(orders[each] for each in bundle)) == expected
        else:
            for each in bundle:
                clerk.release(each)
            warehouse.release(*(orders[each] for each in bundle))
        assert [warehouse.stock(each) for each in products] == clerk.stock
    warehouse.audit()


@settings(max_examples=60, deadline=None)
@given(story=stories())
def test_whatever_arrives_the_decisions_are_those_of_one_clerk(scratch_warehouse, story):
    with scratch_warehouse() as warehouse:
        play(warehouse, story)


TWICE = Story([5], [[(0, 2)]], [("reserve", [0]), ("reserve", [0])])
LATE = Story([5], [[(0, 2)]], [("release", [0]), ("reserve", [0])])
GIVEN_BACK_TWICE = Story([5], [[(0, 2)]], [("reserve", [0]), ("release", [0]), ("release", [0])])
TOO_MUCH = Story([5], [[(0, 4)], [(0, 4)]], [("reserve", [0]), ("reserve", [1])])

ONE_MOVEMENT_PER_ORDER = "DROP INDEX ix_stock_movements_order_id_product_id_movement_type"


def without(warehouse, *guards):
    with transaction(warehouse.sessions) as session:
        for guard in guards:
            session.execute(text(guard))


def believes_in_ten(session, ids, look=models.lock_products):
    """Locks the products and finds ten units of each, whatever there is."""
    found = look(session, ids)
    return {each: SimpleNamespace(name=row.name, sku=row.sku, stock_quantity=10) for each, row in found.items()}


class TestTheComparisonFindsOut:
    @pytest.mark.parametrize("story", [TWICE, LATE, GIVEN_BACK_TWICE, TOO_MUCH])
    def test_with_every_guard_in_place_there_is_nothing_to_find(self, unguarded, story):
        play(unguarded, story)

    def test_when_an_order_can_be_decided_on_twice(self, unguarded):
        without(unguarded, "ALTER TABLE reservations DROP CONSTRAINT pk_reservations", ONE_MOVEMENT_PER_ORDER)
        with pytest.raises(AssertionError):
            play(unguarded, TWICE)

    def test_and_even_then_the_ledger_refuses_the_second_movement(self, unguarded):
        without(unguarded, "ALTER TABLE reservations DROP CONSTRAINT pk_reservations")
        with pytest.raises(exc.IntegrityError, match="ix_stock_movements_order_id"):
            play(unguarded, TWICE)

    def test_when_a_release_leaves_no_tombstone(self, unguarded, monkeypatch):
        claim = models.claim

        def claim_but_no_tombstone(session, order_ids, state, *why):
            return set() if state == "released" else claim(session, order_ids, state, *why)

        monkeypatch.setattr(models, "claim", claim_but_no_tombstone)
        with pytest.raises(AssertionError):
            play(unguarded, LATE)

    def test_when_a_release_does_not_look_at_the_state(self, unguarded, monkeypatch):
        without(unguarded, ONE_MOVEMENT_PER_ORDER)
        monkeypatch.setattr(models, "_LOCK_HELD", text(str(models._LOCK_HELD).replace("AND state = 'held'", "")))
        took = text(str(models._HOLDINGS).replace("WHERE", "WHERE movement_type = 'reserve' AND"))
        monkeypatch.setattr(models, "_HOLDINGS", took)
        with pytest.raises(AssertionError):
            play(unguarded, GIVEN_BACK_TWICE)

    def test_when_stock_may_be_negative(self, unguarded, monkeypatch):
        without(unguarded, "ALTER TABLE products DROP CONSTRAINT ck_products_stock_not_negative")
        monkeypatch.setattr(models, "lock_products", believes_in_ten)
        with pytest.raises(AssertionError):
            play(unguarded, TOO_MUCH)

    def test_and_the_table_refuses_negative_stock_whatever_the_code_believes(self, unguarded, monkeypatch):
        monkeypatch.setattr(models, "lock_products", believes_in_ten)
        with pytest.raises(exc.IntegrityError, match="stock_not_negative"):
            play(unguarded, TOO_MUCH)
