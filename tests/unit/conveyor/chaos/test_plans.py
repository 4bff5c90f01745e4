"""The orders of a chaos run: of the seed alone, and with too little of some products."""

from conveyor.chaos.plans import PREFIX, lines_of, our_own, plans, stocked
from conveyor.chaos.run import BOOK
from conveyor.replay.opened import read_book

OURS = our_own(read_book(BOOK.read_bytes()))


def test_the_same_seed_makes_the_same_orders() -> None:
    assert plans(7, 60, 100, OURS.invoices) == plans(7, 60, 100, OURS.invoices)
    assert plans(7, 60, 100, OURS.invoices) != plans(8, 60, 100, OURS.invoices)


def test_more_orders_than_the_book_has_go_through_it_again() -> None:
    many = len(OURS.invoices) + 1
    planned = plans(1, 60, many, OURS.invoices)
    assert len(planned) == many
    assert planned[-1].invoice == planned[0].invoice


def test_everything_is_planned_within_the_run() -> None:
    planned = plans(1, 60, 500, OURS.invoices)
    assert all(0 <= each.at <= 60 for each in planned)
    assert all(each.at + each.cancel_after <= 60 for each in planned if each.cancel_after is not None)


def test_some_orders_are_cancelled_some_moved_and_some_both() -> None:
    planned = plans(1, 60, 500, OURS.invoices)
    ways = {(each.cancel_after is not None, bool(each.journey)) for each in planned}
    assert ways == {(True, True), (True, False), (False, True), (False, False)}
    assert {move.by_operator for each in planned for move in each.journey} == {True, False}


def test_some_couriers_tell_of_their_way_later_and_not_in_its_order() -> None:
    late = [each.journey for each in plans(1, 60, 500, OURS.invoices) if each.journey and each.journey[0].occurred_at]
    times = [[move.occurred_at for move in journey] for journey in late]
    assert any(each != sorted(each, key=str) for each in times)
    assert not any(move.by_operator for journey in late for move in journey)


def test_orders_come_in_crowds_too() -> None:
    moments = [each.at for each in plans(1, 60, 500, OURS.invoices)]
    assert len(set(moments)) < len(moments)


def test_products_are_our_own_and_some_of_them_are_short() -> None:
    planned = plans(1, 60, 500, OURS.invoices)
    book, scarce = stocked(1, OURS, planned)
    assert all(sku.startswith(PREFIX) for sku in book.products)
    for sku, product in book.products.items():
        asked = sum(lines_of(each.invoice.items)[sku] for each in planned)
        assert (product.demand < asked) == (sku in scarce), product
