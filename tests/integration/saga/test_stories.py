"""The saga's endings, told one by one: what the customer sees, and what is left in stock and at the courier's."""

import pytest

from tests.integration.saga.paper_broker import Mail, World


class TestPlace:
    def test_an_order_that_can_be_filled_is_shipped(self, world: World) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        world.settle()
        assert world.status(order) == "Pending Shipment"
        assert world.stock(lamp) == 3
        assert world.violations() == []

    def test_two_lines_of_one_product_count_together(self, world: World) -> None:
        lamp = world.add_product(stock=3)
        order = world.place((lamp, 2), (lamp, 2))
        world.settle()
        assert (world.status(order), world.reason(order)) == ("Rejected", "insufficient_stock")
        assert world.stock(lamp) == 3

    def test_an_order_is_filled_whole_or_not_at_all(self, world: World) -> None:
        lamp, table = world.add_product(stock=5), world.add_product(stock=0)
        order = world.place((lamp, 1), (table, 1))
        world.settle()
        assert world.status(order) == "Rejected"
        assert world.stock(lamp) == 5
        assert world.violations() == []

    def test_a_price_that_the_customer_did_not_see_rejects_the_order(self, world: World) -> None:
        lamp = world.add_product(stock=5, price="5.00")
        order = world.place((lamp, 1), price="4.00")
        world.settle()
        assert (world.status(order), world.reason(order)) == ("Rejected", "price_changed")

    def test_the_last_unit_goes_to_the_first_in_the_bundle(self, world: World) -> None:
        lamp = world.add_product(stock=1)
        first, second = world.place((lamp, 1)), world.place((lamp, 1))
        world.mail = [Mail(world.mail[0].task, [*world.mail[0].bundle, *world.mail[1].bundle], world.mail[0].links)]
        world.settle()
        assert (world.status(first), world.status(second)) == ("Pending Shipment", "Rejected")
        assert world.violations() == []


class TestTwoCopiesOfAChain:
    def test_the_first_price_stays_when_the_catalogue_changes_in_between(self, world: World) -> None:
        lamp = world.add_product(stock=5, price="5.00")
        order = world.place((lamp, 1), price="5.00")
        (check,) = world.mail
        world.deliver(check)
        world.set_price(lamp, "9.00")
        world.deliver(check)
        world.settle()
        assert world.status(order) == "Pending Shipment"
        assert world.violations() == []

    def test_a_copy_that_finds_no_stock_does_not_reject_what_the_first_has_reserved(self, world: World) -> None:
        lamp = world.add_product(stock=1)
        order = world.place((lamp, 1))
        (check,) = world.mail
        for _ in range(3):  # check, record, reserve: then the first copy stalls
            world.deliver(world.mail.pop(0))
        stalled, world.mail = world.mail, [check]
        world.settle()  # the second copy sees an empty shelf
        world.mail = stalled
        world.settle()
        assert world.status(order) == "Pending Shipment"
        assert world.stock(lamp) == 0
        assert world.violations() == []

    def test_a_copy_that_finds_stock_does_not_ship_what_the_first_has_rejected(self, world: World) -> None:
        lamp = world.add_product(stock=0)
        order = world.place((lamp, 1))
        (check,) = world.mail
        world.settle()
        world.set_stock(lamp, 5)
        world.mail = [check]
        world.settle()
        assert world.status(order) == "Rejected"
        assert world.stock(lamp) == 5
        assert world.violations() == []


class TestCancel:
    @pytest.mark.parametrize("steps", range(6))
    def test_a_cancel_at_any_moment_gives_all_of_the_stock_back(self, world: World, steps: int) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        for _ in range(min(steps, 5)):
            world.deliver(world.mail.pop(0))
        world.cancel(order)
        world.settle()
        assert world.status(order) == "Cancelled"
        assert world.stock(lamp) == 5
        assert world.violations() == []

    @pytest.mark.parametrize("steps", range(5))
    def test_a_cancel_that_overtakes_the_chain_it_cancels_leaves_marks_that_refuse_it(
        self, world: World, steps: int
    ) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        for _ in range(steps):
            world.deliver(world.mail.pop(0))
        late, world.mail = world.mail, []
        world.cancel(order)
        world.settle()
        world.mail = late
        world.settle()
        assert world.status(order) == "Cancelled"
        assert world.stock(lamp) == 5
        assert world.violations() == []

    def test_a_parcel_that_has_left_is_not_cancelled(self, world: World) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        world.settle()
        world.cancel(order)
        cancel, world.mail = world.mail, []
        world.courier(order, "IN_TRANSIT")
        world.settle()
        assert world.status(order) == "Cancelling"
        world.mail = cancel
        world.settle()
        assert world.status(order) == "In Transit"
        assert world.stock(lamp) == 3
        assert world.violations() == []

    def test_a_late_copy_of_a_refused_cancel_does_not_cancel_a_parcel_that_failed_later(self, world: World) -> None:
        order = world.place((world.add_product(stock=5), 1))
        world.settle()
        world.cancel(order)
        (cancel,) = world.mail
        world.mail = []
        world.courier(order, "IN_TRANSIT")
        world.mail.append(cancel)
        world.settle()
        world.courier(order, "FAILED")
        world.mail.append(cancel)
        world.settle()
        assert world.status(order) == "Delivery Failed"
        assert world.violations() == []

    def test_a_parcel_that_failed_can_be_cancelled_by_a_new_cancel(self, world: World) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 1))
        world.settle()
        world.courier(order, "IN_TRANSIT")
        world.courier(order, "FAILED")
        world.settle()
        world.cancel(order)
        world.settle()
        assert world.status(order) == "Cancelled"
        assert world.stock(lamp) == 5
        assert world.violations() == []


class TestCourier:
    def test_events_out_of_order_never_move_an_order_back(self, world: World) -> None:
        order = world.place((world.add_product(stock=5), 1))
        world.settle()
        world.courier(order, "IN_TRANSIT")
        world.courier(order, "DELIVERED")
        world.mail.reverse()
        world.deliver(world.mail.pop(0))
        assert world.status(order) == "Delivered"
        world.settle()
        assert world.status(order) == "Delivered"
        assert world.violations() == []

    def test_delivered_may_overtake_the_last_link_of_the_place_chain(self, world: World) -> None:
        order = world.place((world.add_product(stock=5), 1))
        for _ in range(4):
            world.deliver(world.mail.pop(0))
        last, world.mail = world.mail, []
        world.courier(order, "IN_TRANSIT")
        world.courier(order, "DELIVERED")
        world.settle()
        world.mail = last
        world.settle()
        assert world.status(order) == "Delivered"
        assert world.violations() == []

    @pytest.mark.parametrize("status", ["DELIVERED", "FAILED"])
    def test_a_parcel_whose_departure_nobody_scanned_is_where_its_courier_says(self, world: World, status: str) -> None:
        order = world.place((world.add_product(stock=5), 1))
        world.settle()
        world.courier(order, status)
        world.settle()
        assert world.status(order) == {"DELIVERED": "Delivered", "FAILED": "Delivery Failed"}[status]
        assert world.violations() == []

    def test_a_parcel_that_failed_goes_out_again_and_keeps_its_stock(self, world: World) -> None:
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        world.settle()
        for status in ("FAILED", "IN_TRANSIT"):
            world.courier(order, status)
            world.settle()
        assert (world.status(order), world.stock(lamp)) == ("In Transit", 3)
        assert world.violations() == []

    def test_one_that_failed_was_cancelled_and_goes_out_again_all_the_same_is_put_before_people(
        self, world: World
    ) -> None:
        """Its stock was sold again, perhaps, and its money given back: nobody but a person can say what is right."""
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        world.settle()
        world.courier(order, "FAILED")
        world.settle()
        world.cancel(order)
        world.settle()
        for status in ("IN_TRANSIT", "DELIVERED"):
            world.courier(order, status)
            world.settle()
        assert (world.status(order), world.stock(lamp), world.flagged()) == ("Cancelled", 5, [order])
        assert world.violations() == []

    def test_a_scan_that_comes_while_the_cancel_is_under_way_is_put_before_people_at_its_end(
        self, world: World
    ) -> None:
        order = world.place((world.add_product(stock=5), 1))
        world.settle()
        world.cancel(order)
        world.deliver(world.mail.pop(0))  # the parcel is stopped
        late, world.mail = world.mail, []
        world.courier(order, "IN_TRANSIT")
        world.settle()
        assert (world.status(order), world.flagged()) == ("Cancelling", [])
        world.mail = late
        world.settle()
        assert (world.status(order), world.flagged()) == ("Cancelled", [order])
        assert world.violations() == []
