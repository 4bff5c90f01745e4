"""Two doors to one order at once: what is asked at the same moment ends as if one had come first.

Each race is run again with its guard taken out, and must then be seen to go wrong.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.idempotency import RequestKey
from sales import following, models, placing, pricing, service
from sales.errors import IllegalTransition
from sales.messages import CatalogueEntry, InventoryResponse
from sales.models import orders
from sales.placing import Draft, Placed, place_orders
from sales.status import OrderStatus
from tests.integration.sales.conftest import Shop, about
from tests.integration.waiting import can_be_locked, meanwhile, until_somebody_waits_for


def response(shop: Shop, order: dict[str, Any], **refusal: Any) -> InventoryResponse:
    entry = CatalogueEntry(shop.lamp, "Reading lamp", Decimal("12.50"))
    outcome = "refused" if refusal else "ok"
    return InventoryResponse(order_id=UUID(order["id"]), outcome=outcome, catalogue=[entry], **refusal)


class TestTwoCopiesOfACheck:
    """The first copy found the stock, the second an empty shelf."""

    def decide_at_once(self, shop: Shop) -> tuple[bool, bool, str]:
        """Whether the order's chain ends for the first copy, and for the second; and what the order is."""
        order = shop.place()

        def second() -> bool:
            with transaction(shop.sessions) as session:
                refused = response(shop, order, reason="insufficient_stock")
                return pricing.record_inventory_responses(session, [refused])[0].ended

        with transaction(shop.sessions) as session:
            [first] = pricing.record_inventory_responses(session, [response(shop, order)])
            with meanwhile(second) as answer:
                until_somebody_waits_for(session, shop.sessions)
                session.commit()
        return first.ended, answer.result(), shop.order(order)["status"]

    def test_are_decided_once(self, shop: Shop) -> None:
        assert self.decide_at_once(shop) == (False, False, "Pending")

    def test_control_without_the_lock_the_order_is_rejected_while_the_first_copy_goes_on_to_ship(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unlocked = str(pricing._LOCK_WITH_LINES).removesuffix(" FOR UPDATE OF orders")
        monkeypatch.setattr(pricing, "_LOCK_WITH_LINES", text(unlocked))
        assert self.decide_at_once(shop) == (False, True, "Rejected")


class TestARequestForAnOrderThatAStepIsWorkingOn:
    """The parcel of an order leaves just as its customer cancels."""

    def cancel_while_it_leaves(self, shop: Shop) -> dict[str, Any]:
        order = shop.ship()

        def cancel() -> None:
            with transaction(shop.sessions) as session:
                service.request_cancel(session, UUID(order["id"]), "c-1")

        with transaction(shop.sessions) as session:
            following.update_order_statuses(session, [about(order, "delivery", 2, delivery=("IN_TRANSIT", 2))])
            with meanwhile(cancel) as answer:
                until_somebody_waits_for(session, shop.sessions)
                session.commit()
        if isinstance(error := answer.exception(), IllegalTransition):
            return {"refused": error.code, "status": shop.order(order)["status"]}
        answer.result()
        return {"refused": None, "status": shop.order(order)["status"]}

    def test_decides_by_what_the_step_has_made_of_it(self, shop: Shop) -> None:
        assert self.cancel_while_it_leaves(shop) == {"refused": "illegal_transition", "status": "In Transit"}

    def test_control_without_the_lock_a_cancel_is_granted_for_a_parcel_that_has_left(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def look(session: Session, order_id: UUID) -> Any:
            return session.execute(select(orders).where(orders.c.id == order_id)).one()

        monkeypatch.setattr(service, "hold_order", look)
        assert self.cancel_while_it_leaves(shop) == {"refused": None, "status": "Cancelling"}

    def test_touches_no_other_order(self, shop: Shop) -> None:
        order, moved, neighbour = shop.ship(), shop.ship(), shop.ship()
        with transaction(shop.sessions) as session:
            service.request_cancel(session, UUID(order["id"]), "c-1")
            service.request_move(session, UUID(moved["id"]), OrderStatus.IN_TRANSIT, "c-1")
        assert shop.order(neighbour) == neighbour
        assert [shop.order(each)["status"] for each in (order, moved)] == ["Cancelling", "Pending Shipment"]

    def test_two_moves_that_are_asked_for_at_once_have_numbers_of_their_own(self, shop: Shop) -> None:
        order = shop.ship()

        def move() -> None:
            with transaction(shop.sessions) as session:
                service.request_move(session, UUID(order["id"]), OrderStatus.IN_TRANSIT, "c-2")

        with transaction(shop.sessions) as session:
            service.request_move(session, UUID(order["id"]), OrderStatus.IN_TRANSIT, "c-1")
            with meanwhile(move) as second:
                until_somebody_waits_for(session, shop.sessions)
                session.commit()
            second.result()
        moves = [each["no"] for task, each in shop.sent(order) if task == "delivery.update_delivery"]
        assert len(moves) == len(set(moves)) == 2
        assert shop.kinds(order).count("move_requested") == 2


class TestTwoCopiesOfALastStep:
    """Two workers have the same news, or an older and a newer one."""

    def hear_at_once(self, shop: Shop) -> tuple[str, int]:
        order = shop.ship()
        with transaction(shop.sessions) as session:
            following.update_order_statuses(session, [about(order, "delivery", 3, delivery=("DELIVERED", 3))])
            with meanwhile(lambda: shop.hear(about(order, "delivery", 2, delivery=("IN_TRANSIT", 2)))) as older:
                until_somebody_waits_for(session, shop.sessions)
                session.commit()
            older.result()
        now = shop.order(order)
        return now["status"], shop.rows("SELECT delivery_version FROM orders WHERE id = :id", id=order["id"])[0][0]

    def test_leave_the_newest(self, shop: Shop) -> None:
        assert self.hear_at_once(shop) == ("Delivered", 3)

    def test_control_without_the_lock_the_older_one_wins(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        unlocked = str(models._LOCK_ORDERS).removesuffix(" FOR UPDATE")
        monkeypatch.setattr(models, "_LOCK_ORDERS", text(unlocked))
        assert self.hear_at_once(shop) == ("In Transit", 2)


class TestABundle:
    """Of the last step: two workers have the same orders, in different turns."""

    LOCK = "SELECT FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) FOR UPDATE"

    def waits_for_the_lowest_and_holds_none(self, shop: Shop) -> bool:
        """The lowest is the last to be stored."""
        lowest, *above = sorted((shop.place() for _ in range(5)), key=lambda each: UUID(each["id"]))
        shop.rows("UPDATE orders SET updated_at = now() WHERE id = :id RETURNING id", id=lowest["id"])
        bundle = [about(each, "place", delivery=("PENDING", 1)) for each in [*reversed(above), lowest]]
        with transaction(shop.sessions) as session:
            session.execute(text(self.LOCK), {"ids": [lowest["id"]]})
            with meanwhile(lambda: shop.hear(*bundle)) as heard:
                until_somebody_waits_for(session, shop.sessions)
                free = can_be_locked(shop.sessions, self.LOCK, ids=[each["id"] for each in above])
                session.commit()
            heard.result()
        return free

    def test_takes_its_orders_lowest_first(self, shop: Shop) -> None:
        assert self.waits_for_the_lowest_and_holds_none(shop)

    def test_control_highest_first_it_holds_what_another_waits_for(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backwards = str(models._LOCK_ORDERS).replace("ORDER BY id", "ORDER BY id DESC")
        monkeypatch.setattr(models, "_LOCK_ORDERS", text(backwards))
        assert not self.waits_for_the_lowest_and_holds_none(shop)

    def test_of_checks_takes_its_orders_lowest_first_too(self, shop: Shop) -> None:
        lowest, *above = sorted((shop.place() for _ in range(5)), key=lambda each: UUID(each["id"]))
        shop.rows("UPDATE orders SET updated_at = now() WHERE id = :id RETURNING id", id=lowest["id"])
        bundle = [response(shop, each) for each in [*reversed(above), lowest]]

        def check() -> None:
            with transaction(shop.sessions) as session:
                pricing.record_inventory_responses(session, bundle)

        with transaction(shop.sessions) as session:
            session.execute(text(self.LOCK), {"ids": [lowest["id"]]})
            with meanwhile(check) as checked:
                until_somebody_waits_for(session, shop.sessions)
                free = can_be_locked(shop.sessions, self.LOCK, ids=[each["id"] for each in above])
                session.commit()
            checked.result()
        assert free

    def test_leaves_the_orders_of_others_to_others(self, shop: Shop) -> None:
        ours, theirs = shop.place(), shop.place()
        with transaction(shop.sessions) as session:
            following.update_order_statuses(session, [about(ours, "place", delivery=("PENDING", 1))])
            assert not can_be_locked(shop.sessions, self.LOCK, ids=[ours["id"]])
            assert can_be_locked(shop.sessions, self.LOCK, ids=[theirs["id"]])


class TestGroupsWithTheSameOldKeys:
    """Two web processes get the same two requests, in different turns, whose keys are so old that they are free."""

    def waits_for_the_lower_and_holds_none(self, shop: Shop) -> bool:
        low, high = sorted((RequestKey("public", uuid7().hex, "d") for _ in range(2)), key=str)
        body = {"customer_id": UUID(shop.customer["id"]), "items": [{"product_id": shop.lamp, "quantity": 1}]}
        with transaction(shop.sessions) as session:
            place_orders(session, [Draft(body, each, "c-1") for each in (low, high)], wait=True)
            long_ago = datetime.now(UTC) - timedelta(days=400)
            made = {"key": [low.key, high.key], "then": long_ago}
            session.execute(text("UPDATE orders SET created_at = :then WHERE idempotency_key = ANY(:key)"), made)
        lock = "SELECT FROM orders WHERE idempotency_key = :key FOR UPDATE"

        def group() -> list[Any]:
            with transaction(shop.sessions) as session:
                return place_orders(session, [Draft(body, each, "c-2") for each in (high, low)], wait=True)

        with transaction(shop.sessions) as session:
            session.execute(text(lock), {"key": low.key})
            with meanwhile(group) as outcomes:
                until_somebody_waits_for(session, shop.sessions)
                free = can_be_locked(shop.sessions, lock, key=high.key)
                session.commit()
            assert all(isinstance(each, Placed) and not each.replayed for each in outcomes.result())
        return free

    def test_take_them_in_one_order_so_that_they_never_deadlock(self, shop: Shop) -> None:
        assert self.waits_for_the_lower_and_holds_none(shop)

    def test_control_in_the_turn_of_the_requests_one_holds_what_the_other_waits_for(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(placing, "sorted", lambda asked, key: _in_turn(asked), raising=False)
        assert not self.waits_for_the_lower_and_holds_none(shop)


def _in_turn(ids: Any) -> list[UUID]:
    """As the requests came: their orders' ids were made in that order."""
    return sorted(ids)
