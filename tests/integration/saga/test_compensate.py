"""An operator gives an order up, whatever it hangs in: all of its stock comes back, and nothing is sent."""

from uuid import UUID

import pytest

from chassis.database import transaction
from sales import service as sales
from sales.errors import IllegalTransition
from tests.integration.saga.paper_broker import World


def give_up(world: World, order: UUID) -> None:
    with transaction(world.sessions["sales"]) as session:
        sales.compensate(session, order, "ada", "told by telephone", "test")
    world.collect()


@pytest.mark.parametrize("steps", range(5))
def test_a_place_chain_that_hangs_at_any_link_is_undone_and_its_late_link_changes_nothing(
    world: World, steps: int
) -> None:
    lamp = world.add_product(stock=5)
    order = world.place((lamp, 2))
    for _ in range(steps):
        world.deliver(world.mail.pop(0))
    hangs, world.mail = world.mail, []
    give_up(world, order)
    world.settle()
    assert (world.status(order), world.reason(order)) == ("Cancelled", "cancelled_by_operator")
    assert (world.stock(lamp), world.violations()) == (5, [])
    world.mail = hangs
    world.settle()
    assert (world.status(order), world.stock(lamp), world.violations()) == ("Cancelled", 5, [])


@pytest.mark.parametrize("steps", range(3))
def test_a_cancel_chain_that_hangs_at_any_link_is_sent_again_and_gives_the_stock_back_once(
    world: World, steps: int
) -> None:
    lamp = world.add_product(stock=5)
    order = world.place((lamp, 2))
    world.settle()
    world.cancel(order)
    for _ in range(steps):
        world.deliver(world.mail.pop(0))
    hangs, world.mail = world.mail, []
    give_up(world, order)
    for late in ([], hangs):
        world.mail += late
        world.settle()
        assert (world.status(order), world.stock(lamp), world.violations()) == ("Cancelled", 5, [])


def test_a_parcel_that_could_not_be_handed_over_is_given_up(world: World) -> None:
    lamp = world.add_product(stock=5)
    order = world.place((lamp, 2))
    world.settle()
    for status in ("IN_TRANSIT", "FAILED"):
        world.courier(order, status)
        world.settle()
    give_up(world, order)
    world.settle()
    assert (world.status(order), world.stock(lamp), world.violations()) == ("Cancelled", 5, [])


def test_a_parcel_that_leaves_before_the_cancel_gets_there_goes_on(world: World) -> None:
    lamp = world.add_product(stock=5)
    order = world.place((lamp, 2))
    world.settle()
    give_up(world, order)
    world.courier(order, "IN_TRANSIT")
    world.settle()
    assert (world.status(order), world.stock(lamp), world.violations()) == ("In Transit", 3, [])
    with pytest.raises(IllegalTransition, match="In Transit cannot become Cancelled; allowed: Delivered or Delivery"):
        give_up(world, order)


def test_a_rejected_order_holds_nothing_whatever_copy_of_its_chain_comes_late(world: World) -> None:
    """So there is nothing to give up, and it is refused."""
    lamp = world.add_product(stock=1)
    order = world.place((lamp, 2))
    copies = list(world.mail)
    world.settle()
    assert world.status(order) == "Rejected"
    world.set_stock(lamp, 5)
    world.mail = copies
    world.settle()
    with pytest.raises(IllegalTransition, match="allowed: nothing"):
        give_up(world, order)
    assert (world.status(order), world.stock(lamp), world.violations()) == ("Rejected", 6, [])
