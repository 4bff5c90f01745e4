"""An operator gives an order up, whatever it hangs in: all of its stock comes back, and nothing is sent."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.database import transaction
from delivery import service as delivery
from delivery.messages import CancelDelivery
from sales import chains
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


def test_a_lost_cancel_is_sent_again_though_messages_of_others_wait_to_be_sent(world: World) -> None:
    lamp = world.add_product(stock=5)
    order, other = world.place((lamp, 2)), world.place((lamp, 1))
    world.settle()
    world.cancel(order)
    world.mail = []
    with transaction(world.sessions["sales"]) as session:  # in the outbox, and not under way yet
        sales.request_cancel(session, other, "test")
    give_up(world, order)
    world.settle()
    assert [world.status(each) for each in (order, other)] == ["Cancelled", "Cancelled"]
    assert (world.stock(lamp), world.violations()) == (5, [])


class TestACancelWhoseSagaRowIsMissing:
    """Its number is lost with the row: a backup of another moment has taken the database's place, say."""

    def cancelled_in_the_end(self, world: World) -> bool:
        """The parcel had left at the first two cancels, whose answers delivery has stored; it is here by now."""
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        world.settle()
        world.courier(order, "IN_TRANSIT")
        world.settle()
        with transaction(world.sessions["delivery"]) as session:
            delivery.cancel_delivery(session, [CancelDelivery(order_id=order, no=no) for no in (1, 2)])
        world.courier(order, "FAILED")
        world.settle()
        world.cancel(order)
        renumber = "UPDATE order_events SET number = 2 WHERE order_id = :order AND kind = 'cancel_requested'"
        with transaction(world.sessions["sales"]) as session:
            for statement in (renumber, "DELETE FROM order_sagas WHERE order_id = :order"):
                session.execute(text(statement), {"order": order})
        world.mail = []
        give_up(world, order)
        world.settle()
        assert world.violations() == []
        return (world.status(order), world.stock(lamp)) == ("Cancelled", 5)

    def test_gets_a_number_that_delivery_has_not_answered_yet(self, world: World) -> None:
        assert self.cancelled_in_the_end(world)

    @pytest.mark.parametrize("number", [1, 2])
    def test_control_under_an_old_number_it_gets_the_old_refusal_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        send = chains.send_cancel

        def under_an_old_one(session: Session, order: UUID, no: int, trace: str) -> None:
            send(session, order, number if no > 2 else no, trace)

        monkeypatch.setattr(chains, "send_cancel", under_an_old_one)
        assert not self.cancelled_in_the_end(world)
