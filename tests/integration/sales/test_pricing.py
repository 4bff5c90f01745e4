"""The catalogue answers: prices and totals are fixed once, or the order is rejected."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import pricing
from sales.messages import CatalogueEntry, InventoryResponse
from tests.integration.sales.conftest import Shop


def response(order: dict[str, Any], price: str, product: UUID, **refusal: Any) -> InventoryResponse:
    entry = CatalogueEntry(product, "Reading lamp", Decimal(price), "LAMP-READ")
    outcome = "refused" if refusal else "ok"
    return InventoryResponse(order_id=UUID(order["id"]), outcome=outcome, catalogue=[entry], **refusal)


def test_lines_get_name_and_price_and_the_order_its_total(shop: Shop) -> None:
    order = shop.http.post("/orders", json=shop.draft(2, 3)).json

    assert shop.respond(order, "12.50") == [False]

    now = shop.order(order)
    assert (now["total_amount"], now["status"], now["version"]) == ("62.50", "Pending", 2)
    assert [(each["sku"], each["product_name"], each["price"]) for each in now["items"]] == [
        ("LAMP-READ", "Reading lamp", "12.50")
    ] * 2
    event = shop.timeline(order)[-1]
    assert (event["kind"], event["reason"], event["actor"]) == ("priced", "total 62.50", "inventory")


def test_the_first_response_wins(shop: Shop) -> None:
    order = shop.place()
    shop.respond(order, "12.50")
    priced = shop.order(order)

    assert shop.respond(order, "9.00") == [False]
    assert shop.respond(order, reason="insufficient_stock") == [False]

    assert shop.order(order) == priced
    assert shop.kinds(order) == ["placed", "priced"]


def test_a_refusal_rejects_the_order_and_ends_its_chain(shop: Shop) -> None:
    order = shop.place()

    sentence = "Lamp: 2 wanted, 1 in stock."
    assert shop.respond(order, reason="insufficient_stock", detail=sentence) == [True]

    now = shop.order(order)
    assert (now["status"], now["reason"], now["total_amount"]) == ("Rejected", "insufficient_stock", None)
    assert now["reason_detail"] == sentence
    event = shop.timeline(order)[-1]
    assert (event["kind"], event["to_status"], event["code"], event["reason"]) == (
        "rejected",
        "Rejected",
        "insufficient_stock",
        sentence,
    )
    [listed] = [each for each in shop.http.get("/orders?limit=100").json["items"] if each["id"] == order["id"]]
    assert listed == now
    assert shop.saga(order).deadline is None


def test_the_lines_of_a_rejected_order_are_named_as_far_as_the_catalogue_has_them(shop: Shop) -> None:
    unheard_of = uuid7()
    lines = [{"product_id": str(each), "quantity": 1, "price": "9.00"} for each in (shop.lamp, unheard_of, shop.lamp)]
    order = shop.http.post("/orders", json={"customer_id": shop.customer["id"], "items": lines}).json
    refused = response(order, "12.50", shop.lamp, reason="unknown_product", detail=f"There is no product {unheard_of}.")

    with transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, [refused])

    named = [(each["sku"], each["product_name"], each["price"]) for each in shop.order(order)["items"]]
    assert named == [("LAMP-READ", "Reading lamp", "9.00"), (None, None, "9.00"), ("LAMP-READ", "Reading lamp", "9.00")]


def test_each_rejected_order_has_the_names_that_it_was_told(shop: Shop) -> None:
    orders = [shop.place(), shop.place()]
    reason = {"reason": "insufficient_stock", "detail": "Lamp: 2 wanted, 1 in stock."}
    refused = [
        InventoryResponse(
            order_id=UUID(each["id"]),
            outcome="refused",
            catalogue=[CatalogueEntry(shop.lamp, name, Decimal("12.50"), "LAMP-READ")],
            **reason,
        )
        for each, name in zip(orders, ("Reading lamp", "Reading lamp, renamed"), strict=True)
    ]

    with transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, refused)

    names = [shop.order(each)["items"][0]["product_name"] for each in orders]
    assert names == ["Reading lamp", "Reading lamp, renamed"]


def test_a_worker_of_the_release_before_tells_no_sku_and_the_lines_have_none(shop: Shop) -> None:
    order = shop.place()
    entry = {"product_id": str(shop.lamp), "name": "Reading lamp", "price": "12.50"}
    told = msgspec.convert({"order_id": order["id"], "outcome": "ok", "catalogue": [entry]}, InventoryResponse)

    with transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, [told])

    assert [(each["sku"], each["product_name"]) for each in shop.order(order)["items"]] == [(None, "Reading lamp")]


def test_an_order_that_was_rejected_is_not_priced_by_a_late_response(shop: Shop) -> None:
    order = shop.place()
    shop.respond(order, reason="unknown_product")
    assert shop.respond(order, "12.50") == [True]
    assert shop.order(order)["total_amount"] is None


def test_an_order_that_is_being_cancelled_goes_no_further(shop: Shop) -> None:
    order = shop.place()
    shop.http.post(f"/orders/{order['id']}/cancel")
    assert shop.respond(order, "12.50") == [True]
    assert (shop.order(order)["status"], shop.order(order)["total_amount"]) == ("Cancelling", None)


@pytest.mark.parametrize(("seen", "ended"), [("12.50", False), ("12.5", False), (None, False), ("12.49", True)])
def test_a_price_that_the_customer_did_not_see_rejects_the_order(shop: Shop, seen: str | None, ended: bool) -> None:
    order = shop.place(price=seen)
    assert shop.respond(order, "12.50") == [ended]
    now = shop.order(order)
    assert (now["status"], now["reason"]) == (("Rejected", "price_changed") if ended else ("Pending", None))
    if ended:
        assert shop.timeline(order)[-1]["reason"] == "Reading lamp costs 12.50, not 12.49"


def test_orders_of_a_bundle_do_not_share_a_fate_and_are_answered_in_their_order(shop: Shop) -> None:
    good, bad, dear = shop.place(), shop.place(), shop.place(price="1.00")
    bundle = [
        response(dear, "12.50", shop.lamp),
        response(good, "12.50", shop.lamp),
        response(bad, "12.50", shop.lamp, reason="insufficient_stock"),
        response(good, "99.00", shop.lamp),
        response(bad, "12.50", shop.lamp),
    ]

    with transaction(shop.sessions) as session:
        answers = pricing.record_inventory_responses(session, bundle)

    assert [each.order_id for each in answers] == [each.order_id for each in bundle]
    assert [each.ended for each in answers] == [True, False, True, False, True]
    assert [shop.order(each)["status"] for each in (good, bad, dear)] == ["Pending", "Rejected", "Rejected"]
    assert shop.order(good)["total_amount"] == "25.00"


def test_each_order_of_a_bundle_gets_its_own_total_and_a_neighbour_none(shop: Shop) -> None:
    one, two, neighbour, refused = (
        *(shop.http.post("/orders", json=shop.draft(units)).json for units in (1, 2)), shop.place(), shop.place(),
    )  # fmt: skip
    bundle = [response(each, "12.50", shop.lamp) for each in (one, two)]
    with transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, [*bundle, response(refused, "1.00", shop.lamp, reason="sold_out")])
    seen = [shop.order(each) for each in (one, two, neighbour, refused)]
    assert [(each["total_amount"], each["status"], each["version"]) for each in seen] == [
        ("12.50", "Pending", 2), ("25.00", "Pending", 2), (None, "Pending", 1), (None, "Rejected", 2),
    ]  # fmt: skip


def test_the_largest_order_at_the_largest_price_has_a_total(shop: Shop) -> None:
    order = shop.http.post("/orders", json=shop.draft(*[100_000] * 1_000)).json
    assert shop.respond(order, "9999999999.99") == [False]
    assert shop.order(order)["total_amount"] == "999999999999000000.00"


def test_a_response_that_misses_a_product_is_a_fault_and_prices_nothing(shop: Shop) -> None:
    order, innocent = shop.place(), shop.place()
    bundle = [response(innocent, "12.50", shop.lamp), response(order, "12.50", uuid7())]
    with pytest.raises(KeyError), transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, bundle)
    assert shop.order(innocent)["total_amount"] is None


def test_an_order_that_does_not_exist_is_a_fault(shop: Shop) -> None:
    """No chain begins but here, so this is a bug or another deployment's message, and people have to see it."""
    with pytest.raises(LookupError, match="there is no order"), transaction(shop.sessions) as session:
        pricing.record_inventory_responses(session, [response({"id": str(uuid7())}, "1.00", shop.lamp)])
