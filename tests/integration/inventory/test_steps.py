"""The three steps, one bundle after the other."""

from decimal import Decimal

import pytest
from sqlalchemy import event, exc, text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from inventory import service
from inventory.messages import Line, ReleaseStock, Reserved, ReserveStock


class TestCheck:
    def test_an_order_that_can_be_filled_is_answered_with_catalogue_prices_once_per_product(self, warehouse):
        lamp, chair = warehouse.product(5, price=Decimal("2.55")), warehouse.product(1, name="Chair")
        (answer,) = warehouse.check(warehouse.order((lamp, 2), (chair, 1), (lamp, 3)))
        assert (answer.outcome, answer.reason) == ("ok", None)
        assert [(each.product_id, each.name, each.price) for each in answer.catalogue] == [
            (lamp, "Lamp", Decimal("2.55")),
            (chair, "Chair", Decimal("24.90")),
        ]
        assert [each.sku for each in answer.catalogue] == [warehouse.sku(each) for each in (lamp, chair)]

    def test_a_refusal_names_the_products_that_there_are(self, warehouse):
        lamp, nothing = warehouse.product(5), uuid7()
        (answer,) = warehouse.check(warehouse.order((nothing, 1), (lamp, 6)))
        assert (answer.outcome, answer.reason) == ("refused", "unknown_product")
        assert [(each.product_id, each.sku) for each in answer.catalogue] == [(lamp, warehouse.sku(lamp))]

    def test_lines_of_one_product_are_judged_together(self, warehouse):
        lamp = warehouse.product(5)
        (answer,) = warehouse.check(warehouse.order((lamp, 3), (lamp, 3)))
        assert (answer.outcome, answer.reason) == ("refused", "insufficient_stock")

    def test_one_refused_order_does_not_refuse_its_neighbours(self, warehouse):
        lamp, gone = warehouse.product(5), warehouse.product(5, status="inactive")
        orders = [warehouse.order((each, 1)) for each in (lamp, uuid7(), gone, lamp)]
        answers = warehouse.check(*orders)
        assert [each.order_id for each in answers] == orders
        assert [each.reason for each in answers] == [None, "unknown_product", "product_inactive", None]

    def test_many_refused_lines_are_told_in_few_sentences(self, warehouse):
        lamps = [warehouse.product(0, name=f"Lamp {n}") for n in range(5)]
        (answer,) = warehouse.check(warehouse.order(*((lamp, 1) for lamp in lamps)))
        assert answer.detail.count("wanted") == 3
        assert answer.detail.endswith("And 2 more.")
        (three,) = warehouse.check(warehouse.order(*((lamp, 1) for lamp in lamps[:3])))
        assert three.detail.count("wanted") == 3
        assert three.detail.endswith("in stock.")

    def test_asking_takes_nothing(self, warehouse):
        lamp = warehouse.product(1)
        first, second = warehouse.order((lamp, 1)), warehouse.order((lamp, 1))
        assert [each.outcome for each in warehouse.check(first, second)] == ["ok", "ok"]
        assert warehouse.stock(lamp) == 1


class TestReserve:
    def test_all_lines_are_taken_or_none(self, warehouse):
        lamp, chair = warehouse.product(5), warehouse.product(1)
        assert warehouse.reserve(warehouse.order((lamp, 2), (chair, 2))) == ["insufficient_stock"]
        assert (warehouse.stock(lamp), warehouse.stock(chair)) == (5, 1)
        warehouse.audit()

    def test_lines_of_one_product_are_booked_as_one_movement(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2), (lamp, 1))
        assert warehouse.reserve(order) == [None]
        booked = warehouse.rows("SELECT quantity, movement_type FROM stock_movements WHERE order_id = :id", id=order)
        assert [tuple(row) for row in booked] == [(-3, "reserve")]
        warehouse.audit()

    def test_scarce_stock_goes_to_those_who_came_first_and_small_orders_still_fit_behind_a_large_one(self, warehouse):
        lamp = warehouse.product(5)
        orders = [warehouse.order((lamp, quantity)) for quantity in (3, 4, 2, 1)]
        assert warehouse.reserve(*orders) == [None, "insufficient_stock", None, "insufficient_stock"]
        warehouse.audit()

    def test_a_copy_gets_the_decision_that_is_stored(self, warehouse):
        lamp = warehouse.product(3)
        held, refused = warehouse.order((lamp, 3)), warehouse.order((lamp, 1))
        assert warehouse.reserve(held, refused) == [None, "insufficient_stock"]
        warehouse.adjust(lamp, 10)
        assert warehouse.reserve(refused, held) == ["insufficient_stock", None]
        assert warehouse.stock(lamp) == 10
        warehouse.audit()

    def test_two_copies_in_one_bundle_take_the_stock_once(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        assert warehouse.reserve(order, order) == [None, None]
        assert warehouse.stock(lamp) == 3
        warehouse.audit()

    def test_a_product_that_is_not_sold_any_more_still_goes_to_an_order_that_was_priced(self, warehouse):
        lamp = warehouse.product(1, status="discontinued")
        assert warehouse.reserve(warehouse.order((lamp, 1))) == [None]

    def test_an_unknown_product_refuses_its_order_alone(self, warehouse):
        lamp = warehouse.product(1)
        assert warehouse.reserve(warehouse.order((uuid7(), 1)), warehouse.order((lamp, 1))) == ["unknown_product", None]

    def test_an_order_that_was_refused_before_is_passed_on_and_nothing_is_decided(self, warehouse):
        lamp = warehouse.product(1)
        order = warehouse.order((lamp, 1))
        refused = ReserveStock(order, [Line(lamp, 1)], "refused", "price_changed", "It costs more now.")
        with transaction(warehouse.sessions) as session:
            (answer,) = service.reserve_stock(session, [refused])
        assert answer == Reserved(order, "refused", "price_changed", "It costs more now.")
        assert warehouse.states() == {}

    def test_the_decision_says_why_for_people(self, warehouse):
        lamp = warehouse.product(2)
        order = warehouse.order((lamp, 3))
        warehouse.reserve(order)
        ((detail,),) = warehouse.rows("SELECT detail FROM reservations WHERE order_id = :id", id=order)
        assert "3 wanted, 2 in stock" in detail


class TestRelease:
    def test_what_was_held_comes_back_once(self, warehouse):
        lamp, chair = warehouse.product(5), warehouse.product(5)
        order = warehouse.order((lamp, 2), (chair, 5), (lamp, 1))
        warehouse.reserve(order)
        for _ in range(2):
            warehouse.release(order, order)
        assert (warehouse.stock(lamp), warehouse.stock(chair)) == (5, 5)
        assert warehouse.states() == {order: "released"}
        warehouse.audit()

    def test_a_release_that_comes_first_refuses_the_late_reserve(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        warehouse.release(order)
        assert warehouse.reserve(order, order) == ["cancelled", "cancelled"]
        assert warehouse.stock(lamp) == 5
        warehouse.audit()

    def test_a_reserve_that_comes_again_after_the_release_takes_nothing(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        warehouse.reserve(order)
        warehouse.release(order)
        assert warehouse.reserve(order) == ["cancelled"]
        warehouse.audit()

    def test_releasing_a_refused_order_gives_nothing_and_its_decision_stays(self, warehouse):
        lamp = warehouse.product(1)
        order = warehouse.order((lamp, 2))
        warehouse.reserve(order)
        warehouse.release(order)
        assert warehouse.states() == {order: "refused"}
        assert warehouse.reserve(order) == ["insufficient_stock"]
        warehouse.audit()

    def test_an_order_whose_cancellation_was_refused_keeps_its_stock(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        warehouse.reserve(order)
        with transaction(warehouse.sessions) as session:
            (answer,) = service.release_stock(session, [ReleaseStock(order, "refused")])
        assert answer.outcome == "refused"
        assert warehouse.states() == {order: "held"}
        warehouse.audit()

    def test_one_bundle_releases_held_refused_and_unheard_of_orders(self, warehouse):
        lamp = warehouse.product(5)
        held, refused, unknown = (warehouse.order((lamp, quantity)) for quantity in (5, 6, 1))
        warehouse.reserve(held, refused)
        warehouse.release(unknown, refused, held)
        assert warehouse.states() == {held: "released", refused: "refused", unknown: "released"}
        assert warehouse.stock(lamp) == 5
        warehouse.audit()


class TestLedger:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE stock_movements SET quantity = 9 WHERE product_id = :id",
            "UPDATE stock_movements SET reason = 'no' WHERE product_id = :id",
            "DELETE FROM stock_movements WHERE product_id = :id",
            "TRUNCATE stock_movements",
        ],
    )
    def test_a_movement_cannot_be_changed_or_removed(self, warehouse, change):
        lamp = warehouse.product(5)
        with pytest.raises(exc.IntegrityError, match="immutable"), transaction(warehouse.sessions) as session:
            session.execute(text(change), {"id": lamp} if ":id" in change else {})

    def test_an_idempotency_key_can_be_forgotten(self, warehouse):
        lamp = warehouse.product(5)
        with transaction(warehouse.sessions) as session:
            forget = "UPDATE stock_movements SET client = NULL, idempotency_key = NULL WHERE product_id = :id"
            session.execute(text(forget), {"id": lamp})

    @pytest.mark.parametrize(
        ("kind", "quantity", "of_an_order"),
        [
            ("reserve", 1, True),
            ("release", -1, True),
            ("adjust", 0, False),
            ("adjust", 1, True),
            ("reserve", -1, False),
        ],
    )
    def test_a_movement_with_the_wrong_sign_or_order_is_refused(self, warehouse, kind, quantity, of_an_order):
        values = {"id": uuid7(), "product": warehouse.product(5), "order": uuid7() if of_an_order else None}
        insert = (
            "INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason)"
            f" VALUES (:id, :product, :order, '{kind}', {quantity}, 'x')"
        )
        with pytest.raises(exc.IntegrityError, match="movement_type"), transaction(warehouse.sessions) as session:
            session.execute(text(insert), values)


@pytest.mark.parametrize("step", ["check", "reserve", "release"])
def test_a_bundle_costs_the_same_statements_whatever_its_size(warehouse, step):
    lamps = [warehouse.product(200) for _ in range(3)]
    one = warehouse.order(*((lamp, 1) for lamp in lamps))
    many = [warehouse.order(*((lamp, 1) for lamp in lamps)) for _ in range(64)]
    if step == "release":
        warehouse.reserve(one, *many)
    engine = warehouse.sessions.kw["bind"]
    counts = []
    for bundle in ([one], many):
        statements = []

        def note(_connection, _cursor, statement, *_rest, statements=statements):
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        getattr(warehouse, step)(*bundle)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 6
    warehouse.audit()
