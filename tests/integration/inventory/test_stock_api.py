"""Stock, its ledger and availability over HTTP, and what the OpenAPI document says of it."""

import pytest
from uuid_utils.compat import uuid7


class TestAdjust:
    def test_units_are_booked_with_their_reason(self, client, warehouse):
        lamp = warehouse.product(5)
        answer = client.post(f"/products/{lamp}/stock", json={"quantity": -3, "reason": "three broken"})
        assert (answer.status_code, answer.json["stock_quantity"]) == (201, 2)
        movement = answer.json["movement"]
        assert (movement["quantity"], movement["movement_type"], movement["reason"]) == (-3, "adjust", "three broken")
        warehouse.audit()

    def test_more_cannot_be_taken_away_than_there_is_and_the_refusal_books_nothing(self, client, warehouse):
        lamp = warehouse.product(2)
        refused = client.post(f"/products/{lamp}/stock", json={"quantity": -3, "reason": "broken"})
        assert (refused.status_code, refused.json["code"]) == (409, "insufficient_stock")
        assert (refused.json["stock_quantity"], refused.json["quantity"]) == (2, -3)
        warehouse.audit()
        assert len(client.get(f"/products/{lamp}/movements").json["items"]) == 1

    def test_a_refused_adjustment_leaves_its_key_free(self, client, warehouse):
        lamp = warehouse.product(2)
        request = {"json": {"quantity": -3, "reason": "broken"}, "headers": {"Idempotency-Key": uuid7().hex}}
        assert client.post(f"/products/{lamp}/stock", **request).status_code == 409
        warehouse.adjust(lamp, 1)
        again = client.post(f"/products/{lamp}/stock", **request)
        assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)

    def test_what_an_order_holds_is_not_there_to_be_taken_away(self, client, warehouse):
        lamp = warehouse.product(5)
        warehouse.reserve(warehouse.order((lamp, 4)))
        assert client.post(f"/products/{lamp}/stock", json={"quantity": -2, "reason": "broken"}).status_code == 409


class TestLedger:
    def test_the_newest_entry_comes_first_page_by_page(self, client, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        warehouse.reserve(order)
        warehouse.release(order)
        first = client.get(f"/products/{lamp}/movements?limit=2").json
        rest = client.get(f"/products/{lamp}/movements?limit=2&cursor={first['next_cursor']}").json
        entries = [
            (each["movement_type"], each["quantity"], each["order_id"]) for each in first["items"] + rest["items"]
        ]
        assert entries == [("release", 2, str(order)), ("reserve", -2, str(order)), ("adjust", 5, None)]
        assert rest["next_cursor"] is None

    @pytest.mark.parametrize("cursor", ["no", "WzVd", "e30"])
    def test_a_cursor_that_somebody_made_up_is_refused(self, client, warehouse, cursor):
        refused = client.get(f"/products/{warehouse.product()}/movements?cursor={cursor}")
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "cursor")


class TestAvailability:
    def ask(self, client, *lines):
        items = [{"product_id": str(product_id), "quantity": quantity} for product_id, quantity in lines]
        return client.post("/check-availability", json={"items": items})

    def test_each_line_is_answered_with_stock_and_price(self, client, warehouse):
        lamp, gone, nothing = warehouse.product(5), warehouse.product(5, status="inactive"), uuid7()
        answer = self.ask(client, (lamp, 5), (lamp, 1), (gone, 1), (nothing, 1))
        assert answer.status_code == 200
        assert (answer.json["available"], answer.json["currency"]) == (False, "EUR")
        told = [
            (each["available"], each["reason"], each["stock_quantity"], each["price"]) for each in answer.json["items"]
        ]
        assert told == [
            (False, "insufficient_stock", 5, "24.90"),
            (False, "insufficient_stock", 5, "24.90"),
            (False, "product_inactive", 5, "24.90"),
            (False, "unknown_product", None, None),
        ]
        assert answer.json["items"][0]["detail"].endswith("6 wanted, 5 in stock.")
        assert all(each["detail"] for each in answer.json["items"])

    def test_everything_there_is_available(self, client, warehouse):
        answer = self.ask(client, (warehouse.product(1), 1), (warehouse.product(100), 100))
        assert answer.json["available"] is True
        assert {(each["reason"], each["detail"]) for each in answer.json["items"]} == {(None, None)}

    @pytest.mark.parametrize(
        ("lines", "field"), [([], "items"), ([0], "items.0.quantity"), ([101], "items.0.quantity"), ([1] * 6, "items")]
    )
    def test_a_question_beyond_the_limits_of_an_order_is_refused_naming_the_field(self, client, lines, field):
        refused = self.ask(client, *((uuid7(), quantity) for quantity in lines))
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, field)

    def test_the_question_is_no_order_and_takes_nothing(self, client, warehouse):
        lamp = warehouse.product(1)
        self.ask(client, (lamp, 1))
        assert warehouse.stock(lamp) == 1


class TestOpenApi:
    @pytest.fixture
    def operations(self, client):
        document = client.get("/openapi.json").json
        return {
            f"{method} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method in ("get", "post", "patch")
        }

    def test_every_route_has_a_title_and_an_example_of_its_answer(self, operations):
        assert len(operations) == 7
        for name, operation in operations.items():
            (success,) = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert operation["summary"], name
            assert success["content"]["application/json"]["example"], name

    @pytest.mark.parametrize(
        ("route", "codes"),
        [
            ("post /products", {"sku_taken", "idempotency_key_reused"}),
            ("get /products/{product_id}", {"product_not_found"}),
            ("patch /products/{product_id}", {"product_not_found", "illegal_transition", "stale_version"}),
            (
                "post /products/{product_id}/stock",
                {"product_not_found", "insufficient_stock", "idempotency_key_reused"},
            ),
            ("get /products/{product_id}/movements", {"product_not_found"}),
        ],
    )
    def test_every_refusal_is_documented_by_its_code(self, operations, route, codes):
        answers = operations[route]["responses"].values()
        documented = [
            answer.get("content", {}).get("application/problem+json", {}).get("examples", {}) for answer in answers
        ]
        assert set().union(*documented) >= codes


def test_health_names_the_database(client):
    assert client.get("/health/ready").json == {"status": "ok", "checked": ["database"]}
