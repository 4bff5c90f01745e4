"""Orders from the first request to their end, as a shop sees them."""

import pytest

from tests.e2e.shop import Shop, at_once

on_both_brokers = pytest.mark.parametrize("stack", ["rabbitmq", "valkey"], indirect=True)


@on_both_brokers
def test_an_order_goes_through_the_queues_and_its_timeline_says_how(shop: Shop) -> None:
    product = shop.add_product(stock=5)
    taken = shop.send("POST", "/orders", shop.draft(product, quantity=2))
    assert (taken.status, taken.body["status"]) == (201, "Pending")
    assert taken.headers["Location"] == f"/orders/{taken.body['id']}"
    order = shop.becomes(taken.body["id"], "Pending Shipment")
    assert (order["total_amount"], order["delivery_status"]) == ("5.00", "PENDING")
    assert order["delivery_address"] == "12 Rue de la Paix"
    events = shop.events(order["id"])
    assert [(each["kind"], each["to_status"]) for each in events] == [
        ("placed", "Pending"),
        ("priced", "Pending"),
        ("delivery", "Pending Shipment"),
    ]
    assert {each["correlation_id"] for each in events} == {taken.headers["X-Request-ID"]}
    assert shop.stock(product) == 3


def test_an_order_for_more_than_there_is_is_rejected_and_takes_nothing(shop: Shop) -> None:
    product = shop.add_product(stock=1)
    order = shop.becomes(shop.place(product, quantity=2)["id"], "Rejected")
    assert order["reason"] == "insufficient_stock"
    assert shop.stock(product) == 1


@on_both_brokers
def test_of_forty_buyers_of_ten_units_exactly_ten_get_one(shop: Shop) -> None:
    product = shop.add_product(stock=10)
    at_once(lambda: shop.place(product), times=40)
    assert shop.outcome() == {"Pending Shipment": 10, "Rejected": 30}
    reasons = {each["reason"] for each in shop.orders() if each["status"] == "Rejected"}
    assert reasons == {"insufficient_stock"}
    assert shop.invariants(product) == (0, 0, 10)
    checked = shop.stack.conveyor("reconcile")
    assert checked.returncode == 0, checked.stdout
    assert "OK: the databases agree" in checked.stdout


def test_prefer_wait_answers_with_the_ended_order(shop: Shop) -> None:
    product = shop.add_product(stock=1)
    answer = shop.send("POST", "/orders", shop.draft(product), prefer="wait=30")
    assert (answer.status, answer.body["status"]) == (201, "Pending Shipment")
    assert answer.headers["Preference-Applied"] == "wait=30"
    refused = shop.send("POST", "/orders", shop.draft(product), prefer="wait=30")
    assert (refused.status, refused.body["status"]) == (201, "Rejected")


def test_an_operator_moves_an_order_on_and_its_delivery_has_moved(shop: Shop) -> None:
    order = shop.place(shop.add_product(stock=1), prefer="wait=30")
    asked = shop.send("PATCH", f"/orders/{order['id']}/status", {"status": "In Transit"})
    assert asked.status == 202
    assert shop.becomes(order["id"], "In Transit")["delivery_status"] == "IN_TRANSIT"
    delivery = shop.send("GET", f"/deliveries/order/{order['id']}").body
    assert [each["status"] for each in delivery["log"]] == ["PENDING", "IN_TRANSIT"]
    waited = shop.send("PATCH", f"/orders/{order['id']}/status", {"status": "Delivered"}, prefer="wait=30")
    assert (waited.status, waited.body["status"]) == (200, "Delivered")


def test_the_order_follows_what_the_courier_reports(shop: Shop) -> None:
    order = shop.place(shop.add_product(stock=1), prefer="wait=30")
    delivery = shop.send("GET", f"/deliveries/order/{order['id']}").body
    where = f"/deliveries/{delivery['id']}/status"
    assert shop.send("PATCH", where, {"status": "IN_TRANSIT", "location": "Hub Lyon-Est"}).status == 200
    shop.becomes(order["id"], "In Transit")
    assert shop.send("PATCH", where, {"status": "FAILED", "notes": "nobody at home"}).status == 200
    shop.becomes(order["id"], "Delivery Failed")
    refused = shop.send("PATCH", where, {"status": "PENDING"})
    assert (refused.status, refused.body["code"], refused.body["from"]) == (409, "illegal_transition", "FAILED")
    assert "IN_TRANSIT" in refused.body["allowed"]
    listed = shop.send("GET", f"/deliveries?status=FAILED&created_after={delivery['created_at'][:19]}Z").body["items"]
    assert delivery["id"] in [each["id"] for each in listed]


def test_an_order_that_is_cancelled_at_once_gives_its_stock_back(shop: Shop) -> None:
    product = shop.add_product(stock=3)
    order = shop.place(product, quantity=3)
    asked = shop.send("POST", f"/orders/{order['id']}/cancel", {"reason": "changed my mind"})
    assert asked.status in (200, 202), asked
    shop.becomes(order["id"], "Cancelled")
    assert shop.place(product, quantity=3, prefer="wait=30")["status"] == "Pending Shipment"
    assert shop.invariants(product) == (0, 0, 3)


def test_an_order_that_is_cancelled_before_its_parcel_leaves_gives_its_stock_back(shop: Shop) -> None:
    product = shop.add_product(stock=3)
    order = shop.place(product, quantity=3, prefer="wait=30")
    assert shop.stock(product) == 0
    asked = shop.send("POST", f"/orders/{order['id']}/cancel", prefer="wait=30")
    assert (asked.status, asked.body["status"]) == (200, "Cancelled")
    assert shop.invariants(product) == (3, 3, 0)
    assert shop.send("GET", f"/deliveries/order/{order['id']}").body["status"] == "CANCELLED"


def test_an_order_whose_parcel_has_left_cannot_be_cancelled(shop: Shop) -> None:
    product = shop.add_product(stock=1)
    order = shop.place(product, prefer="wait=30")
    shop.send("PATCH", f"/orders/{order['id']}/status", {"status": "In Transit"}, prefer="wait=30")
    refused = shop.send("POST", f"/orders/{order['id']}/cancel")
    assert (refused.status, refused.body["code"]) == (409, "illegal_transition")
    assert refused.body["allowed"] == ["Delivered", "Delivery Failed"]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (shop.order(order["id"])["status"], shop.stock(product)) == ("In Transit", 0)
