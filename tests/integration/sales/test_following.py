"""An order follows the end of its chain and its delivery, whatever comes when."""

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import following, timeline
from sales.messages import StatusUpdate
from sales.status import OrderStatus
from tests.integration.sales.conftest import Shop, about

REFUSED = {"outcome": "refused", "reason": "already_in_transit", "detail": "The parcel is on its way."}


def refused_cancel(order: dict[str, Any], no: int, delivery: tuple[str, int]) -> StatusUpdate:
    return about(order, "cancel", no, delivery=delivery, **REFUSED)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was announced to those who wait, one entry a bundle."""
    heard: list[dict[str, str]] = []
    monkeypatch.setattr(
        following, "announce", lambda _session, statuses: heard.append({str(k): str(v) for k, v in statuses.items()})
    )
    return heard


class TestTheEndOfAPlaceChain:
    def test_an_order_whose_parcel_is_made_is_pending_shipment(self, shop: Shop, told: list[dict[str, str]]) -> None:
        order = shop.place()
        shop.respond(order)
        shop.hear(about(order, "place", delivery=("PENDING", 1)))
        now = shop.order(order)
        assert (now["status"], now["delivery_status"], now["version"]) == ("Pending Shipment", "PENDING", 3)
        assert shop.kinds(order) == ["placed", "priced", "delivery"]
        assert shop.saga(order).deadline is None
        assert told == [{order["id"]: "Pending Shipment"}]

    def test_a_refusal_on_the_way_rejects_the_order(self, shop: Shop) -> None:
        order = shop.place()
        shop.respond(order)
        shop.hear(about(order, "place", outcome="refused", reason="insufficient_stock", detail="1 left"))
        assert (shop.order(order)["status"], shop.order(order)["reason"]) == ("Rejected", "insufficient_stock")
        assert shop.timeline(order)[-1]["reason"] == "1 left"
        assert shop.saga(order).deadline is None

    def test_a_refusal_changes_only_an_order_that_is_pending(self, shop: Shop) -> None:
        order = shop.ship()
        shop.hear(about(order, "place", outcome="refused", reason="insufficient_stock"))
        assert shop.order(order) == order

    def test_a_second_copy_changes_nothing(self, shop: Shop, told: list[dict[str, str]]) -> None:
        order = shop.ship()
        told.clear()
        shop.hear(about(order, "place", delivery=("PENDING", 1)))
        assert (shop.order(order), shop.kinds(order)) == (order, ["placed", "priced", "delivery"])
        assert told == [{}]


class TestADelivery:
    NEWS = [("IN_TRANSIT", 2), ("FAILED", 3), ("IN_TRANSIT", 4), ("DELIVERED", 5)]

    @pytest.mark.parametrize("order_of_news", list(permutations(range(4)))[::3])
    def test_in_whatever_order_its_news_come_the_newest_is_what_the_order_is(
        self, shop: Shop, order_of_news: tuple[int, ...]
    ) -> None:
        order, seen = shop.ship(), 1
        for each in order_of_news:
            status, version = self.NEWS[each]
            shop.hear(about(order, "delivery", version, delivery=(status, version)))
            seen = max(seen, version)
            newest = {version: status for status, version in self.NEWS}[seen]
            assert shop.order(order)["delivery_status"] == newest
        assert shop.order(order)["status"] == "Delivered"

    def test_in_a_bundle_the_highest_version_of_an_order_applies(self, shop: Shop) -> None:
        order, other = shop.ship(), shop.ship()
        shop.hear(
            about(order, "delivery", 3, delivery=("DELIVERED", 3)),
            about(other, "delivery", 2, delivery=("IN_TRANSIT", 2)),
            about(order, "delivery", 2, delivery=("IN_TRANSIT", 2)),
        )
        assert [shop.order(each)["status"] for each in (order, other)] == ["Delivered", "In Transit"]

    def test_that_overtakes_the_place_chain_closes_the_saga_and_the_late_link_changes_nothing(self, shop: Shop) -> None:
        order = shop.place()
        shop.respond(order)
        shop.hear(about(order, "delivery", 3, delivery=("DELIVERED", 3)))
        assert (shop.order(order)["status"], shop.saga(order).deadline) == ("Delivered", None)
        shop.hear(about(order, "place", delivery=("PENDING", 1)))
        assert shop.order(order)["status"] == "Delivered"

    @pytest.mark.parametrize("kind", ["place", "cancel", "move", "report", "delivery"])
    def test_for_nobodys_order_is_a_fault_that_people_see(self, shop: Shop, kind: str) -> None:
        unknown = {"id": str(uuid7())}
        with pytest.raises(LookupError, match=f"there is no order {unknown['id']}"):
            shop.hear(about(unknown, kind, 2, delivery=("IN_TRANSIT", 2)))

    def test_made_by_hand_for_an_order_that_was_rejected_does_not_revive_it(self, shop: Shop) -> None:
        order = shop.place()
        shop.respond(order, reason="insufficient_stock")
        shop.hear(about(order, "delivery", 2, delivery=("IN_TRANSIT", 2)))
        now = shop.order(order)
        assert (now["status"], now["reason"]) == ("Rejected", "insufficient_stock")
        assert shop.timeline(order)[-1]["reason"] == "the delivery is IN_TRANSIT"

    def test_that_moves_while_the_order_is_cancelling_only_becomes_known(self, shop: Shop) -> None:
        order = shop.ship()
        shop.http.post(f"/orders/{order['id']}/cancel")
        shop.hear(about(order, "delivery", 2, delivery=("IN_TRANSIT", 2)))
        now = shop.order(order)
        assert (now["status"], now["delivery_status"]) == ("Cancelling", "IN_TRANSIT")
        assert shop.saga(order).deadline is not None
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["to_status"], event["reason"]) == (
            "delivery",
            "Cancelling",
            "the delivery is IN_TRANSIT",
        )


class TestTheEndOfACancel:
    @pytest.fixture
    def order(self, shop: Shop) -> dict[str, Any]:
        shipped = shop.ship()
        shop.http.post(f"/orders/{shipped['id']}/cancel")
        return shipped

    def test_a_parcel_that_was_stopped_makes_the_order_cancelled(
        self, shop: Shop, order: dict[str, Any], told: list[dict[str, str]]
    ) -> None:
        shop.hear(about(order, "cancel", 1, delivery=("CANCELLED", 2)))
        now = shop.order(order)
        assert (now["status"], now["reason"]) == ("Cancelled", "cancelled_by_request")
        assert (now["delivery_status"], shop.saga(order).deadline) == ("CANCELLED", None)
        assert shop.kinds(order)[-2:] == ["cancel_requested", "cancelled"]
        assert told == [{order["id"]: "Cancelled"}]

    @pytest.mark.parametrize(
        ("delivery", "status"),
        [("IN_TRANSIT", "In Transit"), ("DELIVERED", "Delivered"), ("FAILED", "Delivery Failed")],
    )
    def test_a_parcel_that_had_left_makes_it_what_the_delivery_is(
        self, shop: Shop, order: dict[str, Any], delivery: str, status: str
    ) -> None:
        shop.hear(refused_cancel(order, 1, (delivery, 3)))
        now = shop.order(order)
        assert (now["status"], now["reason"], now["delivery_status"]) == (status, None, delivery)
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["to_status"]) == ("cancel_refused", status)
        assert event["reason"] == "The parcel is on its way."

    def test_what_became_known_meanwhile_counts_and_not_what_the_refusal_saw(
        self, shop: Shop, order: dict[str, Any]
    ) -> None:
        shop.hear(about(order, "delivery", 3, delivery=("DELIVERED", 3)))
        shop.hear(refused_cancel(order, 1, ("IN_TRANSIT", 2)))
        assert shop.order(order)["status"] == "Delivered"

    def test_an_answer_to_an_older_cancel_does_not_end_this_one(self, shop: Shop, order: dict[str, Any]) -> None:
        shop.hear(refused_cancel(order, 1, ("IN_TRANSIT", 2)), about(order, "delivery", 3, delivery=("FAILED", 3)))
        shop.http.post(f"/orders/{order['id']}/cancel")
        shop.hear(refused_cancel(order, 1, ("FAILED", 3)))
        assert (shop.order(order)["status"], shop.saga(order).no) == ("Cancelling", 2)
        shop.hear(about(order, "cancel", 2, delivery=("CANCELLED", 4)))
        assert shop.order(order)["status"] == "Cancelled"

    def test_a_late_copy_does_not_touch_an_order_that_is_cancelled(self, shop: Shop, order: dict[str, Any]) -> None:
        shop.hear(about(order, "cancel", 1, delivery=("CANCELLED", 2)))
        cancelled = shop.order(order)
        shop.hear(
            about(order, "cancel", 1, delivery=("CANCELLED", 2)),
            about(order, "place", delivery=("PENDING", 1)),
            about(order, "place", outcome="refused", reason="cancelled"),
        )
        assert shop.order(order) == cancelled

    def test_a_refusal_that_knows_of_no_parcel_cannot_be_and_is_a_fault(self, shop: Shop) -> None:
        order = shop.place()
        shop.http.post(f"/orders/{order['id']}/cancel")
        with pytest.raises(KeyError):
            shop.hear(about(order, "cancel", 1, **REFUSED))
        assert shop.order(order)["status"] == "Cancelling"


class TestAMove:
    def test_that_was_made_moves_the_order_and_names_who_asked(self, shop: Shop, told: list[dict[str, str]]) -> None:
        order = shop.ship()
        told.clear()
        shop.hear(about(order, "move", 3, delivery=("IN_TRANSIT", 2), actor="operator"))
        assert shop.order(order)["status"] == "In Transit"
        assert (shop.timeline(order)[-1]["kind"], shop.timeline(order)[-1]["actor"]) == ("delivery", "operator")
        assert told == [{order["id"]: "In Transit"}]

    def test_that_was_refused_is_noted_and_told_to_whoever_waits(self, shop: Shop, told: list[dict[str, str]]) -> None:
        order = shop.ship()
        told.clear()
        late = {"outcome": "refused", "reason": "version_mismatch", "detail": "Too late.", "actor": "operator"}
        shop.hear(about(order, "move", 3, delivery=("PENDING", 1), **late))
        assert shop.order(order) == order
        event = shop.timeline(order)[-1]
        assert (event["kind"], event["number"], event["actor"]) == ("move_refused", 3, "delivery")
        assert (event["reason"], event["to_status"]) == ("Too late.", "Pending Shipment")
        assert told == [{order["id"]: "Pending Shipment"}]

    def test_that_was_refused_twice_is_noted_once(self, shop: Shop) -> None:
        order = shop.ship()
        for _ in range(2):
            shop.hear(about(order, "move", 3, delivery=("PENDING", 1), outcome="refused", reason="illegal_move"))
        assert shop.kinds(order).count("move_refused") == 1

    def test_that_came_too_late_brings_the_news_that_made_it_so(self, shop: Shop) -> None:
        order = shop.ship()
        shop.hear(about(order, "move", 3, delivery=("DELIVERED", 3), outcome="refused", reason="version_mismatch"))
        assert (shop.order(order)["status"], shop.kinds(order)[-2:]) == ("Delivered", ["delivery", "move_refused"])


class TestAReport:
    def test_brings_an_order_up_to_date(self, shop: Shop) -> None:
        order = shop.ship()
        shop.hear(about(order, "report", delivery=("DELIVERED", 3)))
        assert shop.order(order)["status"] == "Delivered"

    def test_of_no_delivery_changes_nothing(self, shop: Shop) -> None:
        order = shop.ship()
        shop.hear(about(order, "report", outcome="refused", reason="no_delivery"))
        assert shop.order(order) == order


def test_news_is_announced_once_it_is_committed_and_nothing_where_there_is_none(shop: Shop) -> None:
    class Redis:
        """Notes what is announced, and whether everybody could read it by then."""

        def __init__(self) -> None:
            self.announced: list[tuple[dict[str, str], str]] = []

        def announce(self, outcomes: dict[str, str]) -> None:
            self.announced.append((outcomes, shop.order(order)["status"]))

    order, redis = shop.place(), Redis()
    for status in ("Cancelling", "Cancelled"):
        with transaction(shop.sessions) as session:
            session.info["cache"] = redis
            session.execute(
                text("UPDATE orders SET status = :status WHERE id = :id"), {"status": status, "id": order["id"]}
            )
            timeline.announce(session, {UUID(order["id"]): OrderStatus(status)})
            timeline.announce(session, {})
    assert redis.announced == [({order["id"]: each}, each) for each in ("Cancelling", "Cancelled")]
