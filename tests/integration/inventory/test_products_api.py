"""The catalogue over HTTP."""

from decimal import Decimal

import pytest
from uuid_utils.compat import uuid7

from chassis.database import transaction
from inventory import service


@pytest.fixture
def body():
    """A product that nobody has yet."""
    return {"sku": uuid7().hex, "name": "Blue lamp", "description": "Steel, 40 cm", "price": "24.90"}


def names(answer):
    return [each["name"] for each in answer.json["items"]]


class TestCreate:
    def test_a_product_is_created_and_found_where_the_answer_says(self, client, body):
        made = client.post("/products", json={**body, "stock_quantity": 40})
        assert made.status_code == 201
        assert made.json.items() >= {**body, "stock_quantity": 40, "status": "active", "currency": "EUR"}.items()
        found = client.get(made.headers["Location"])
        assert (found.json, found.headers["ETag"]) == (made.json, made.headers["ETag"])

    def test_the_opening_stock_is_the_first_entry_of_the_ledger(self, client, body):
        made = client.post("/products", json={**body, "stock_quantity": 40})
        (entry,) = client.get(f"/products/{made.json['id']}/movements").json["items"]
        assert (entry["movement_type"], entry["quantity"], entry["order_id"]) == ("adjust", 40, None)

    def test_no_opening_stock_is_no_entry(self, client, body):
        made = client.post("/products", json=body)
        assert client.get(f"/products/{made.json['id']}/movements").json == {"items": [], "next_cursor": None}

    def test_a_sku_belongs_to_one_product(self, client, body):
        client.post("/products", json=body)
        again = client.post("/products", json={**body, "name": "Another lamp"})
        assert (again.status_code, again.json["code"]) == (409, "sku_taken")
        assert again.json["errors"] == [{"field": "sku", "message": "belongs to another product"}]

    def test_an_unknown_field_is_refused_by_name(self, client, body):
        refused = client.post("/products", json={**body, "colour": "blue"})
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "colour")
        assert refused.mimetype == "application/problem+json"


class TestIdempotency:
    def test_the_same_request_again_is_a_replay_that_shows_the_row_as_it_is_now(self, client, body):
        key = {"Idempotency-Key": uuid7().hex}
        first = client.post("/products", json={**body, "stock_quantity": 5}, headers=key)
        client.post(f"/products/{first.json['id']}/stock", json={"quantity": 2, "reason": "found"})
        second = client.post("/products", json={**body, "stock_quantity": 5}, headers=key)
        assert (first.status_code, second.status_code) == (201, 201)
        assert ("Idempotent-Replayed" in first.headers, second.headers["Idempotent-Replayed"]) == (False, "true")
        assert (second.json["id"], second.json["stock_quantity"]) == (first.json["id"], 7)

    def test_the_same_key_for_another_request_is_refused(self, client, body):
        key = {"Idempotency-Key": uuid7().hex}
        client.post("/products", json=body, headers=key)
        other = client.post("/products", json={**body, "sku": uuid7().hex}, headers=key)
        assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")

    def test_a_copy_that_finds_the_sku_taken_by_its_own_twin_is_a_replay(self, warehouse, monkeypatch):
        """Two copies at once may both pass the key's index before either has written; then the SKU's index speaks."""
        request = service.RequestKey("public", uuid7().hex, "digest")
        values = {"sku": uuid7().hex, "name": "Lamp", "price": Decimal(1)}
        with transaction(warehouse.sessions) as session:
            first, _ = service.create_product(session, values, request)
        insert = service.insert_once
        monkeypatch.setattr(service, "insert_once", lambda session, table, row, _key: insert(session, table, row, None))
        with transaction(warehouse.sessions) as session:
            second, replayed = service.create_product(session, values, request)
        assert (second.id, replayed) == (first.id, True)

    def test_an_adjustment_sent_twice_is_booked_once(self, client, body):
        product = client.post("/products", json=body).json["id"]
        key = {"Idempotency-Key": uuid7().hex}
        first = client.post(f"/products/{product}/stock", json={"quantity": 4, "reason": "delivery"}, headers=key)
        client.post(f"/products/{product}/stock", json={"quantity": -4, "reason": "broken"})
        second = client.post(f"/products/{product}/stock", json={"quantity": 4, "reason": "delivery"}, headers=key)
        assert (second.status_code, second.headers["Idempotent-Replayed"]) == (201, "true")
        assert second.json == {"movement": first.json["movement"], "stock_quantity": 0}

    def test_taking_away_again_what_is_gone_is_a_replay_and_no_want_of_stock(self, client, body):
        product = client.post("/products", json={**body, "stock_quantity": 3}).json["id"]
        key = {"Idempotency-Key": uuid7().hex}
        request = {"json": {"quantity": -3, "reason": "broken"}, "headers": key}
        assert client.post(f"/products/{product}/stock", **request).status_code == 201
        assert client.post(f"/products/{product}/stock", **request).headers["Idempotent-Replayed"] == "true"


class TestChange:
    @pytest.fixture
    def product(self, client, body):
        return client.post("/products", json={**body, "stock_quantity": 5})

    def test_what_is_not_named_stays(self, client, product):
        changed = client.patch(product.headers["Location"], json={"price": "19.90"})
        assert changed.status_code == 200
        kept = {name: value for name, value in product.json.items() if name not in ("price", "version", "updated_at")}
        assert changed.json.items() >= {**kept, "price": "19.90", "version": 2}.items()
        assert changed.headers["ETag"] == '"2"'

    def test_an_edit_made_on_an_older_version_is_refused(self, client, product):
        here, made_on = product.headers["Location"], {"If-Match": product.headers["ETag"]}
        assert client.patch(here, json={"price": "1.00"}, headers=made_on).status_code == 200
        late = client.patch(here, json={"price": "2.00"}, headers=made_on)
        assert (late.status_code, late.json["code"]) == (412, "stale_version")
        assert client.get(here).json["price"] == "1.00"

    def test_stock_that_moves_does_not_make_an_edit_stale(self, client, product):
        here = product.headers["Location"]
        client.post(f"{here}/stock", json={"quantity": -1, "reason": "sold at the door"})
        changed = client.patch(here, json={"price": "1.00"}, headers={"If-Match": product.headers["ETag"]})
        assert (changed.status_code, changed.json["stock_quantity"]) == (200, 4)

    def test_what_is_already_so_is_no_edit(self, client, product):
        same = client.patch(product.headers["Location"], json={"price": "24.9", "status": "active"})
        assert (same.status_code, same.json) == (200, product.json)

    def test_a_discontinued_product_does_not_come_back(self, client, product):
        here = product.headers["Location"]
        assert client.patch(here, json={"status": "discontinued"}).status_code == 200
        back = client.patch(here, json={"status": "active"})
        assert (back.status_code, back.json["code"]) == (409, "illegal_transition")
        assert (back.json["from"], back.json["to"], back.json["allowed"]) == ("discontinued", "active", [])

    def test_a_product_that_is_not_there_is_not_found_whatever_is_asked_of_it(self, client):
        nowhere = f"/products/{uuid7()}"
        for answer in (
            client.get(nowhere),
            client.patch(nowhere, json={"price": "1.00"}),
            client.post(f"{nowhere}/stock", json={"quantity": 1, "reason": "found"}),
            client.get(f"{nowhere}/movements"),
        ):
            assert (answer.status_code, answer.json["code"]) == (404, "product_not_found")


class TestList:
    @pytest.fixture
    def shelf(self, client):
        """A word that only these five products have in their names, B to F; B and E cost the same."""
        word = uuid7().hex[-12:]
        for letter, price in zip("DBFCE", ("3.00", "2.00", "10.00", "1.00", "2.00"), strict=True):
            product = {"sku": f"{letter}-{word}", "name": f"{letter} {word}", "price": price}
            assert client.post("/products", json=product).status_code == 201
        return word

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("name", "BCDEF"),
            ("-name", "FEDCB"),
            ("sku", "BCDEF"),
            ("price", "CBEDF"),
            ("-price", "FDEBC"),
            ("created_at", "DBFCE"),
            ("-created_at", "ECFBD"),
        ],
    )
    def test_pages_of_two_show_every_product_once_in_the_order_asked_for(self, client, shelf, sort, expected):
        seen, cursor = [], None
        for _ in range(3):
            page = client.get("/products", query_string={"q": shelf, "sort": sort, "limit": 2, "cursor": cursor})
            seen += names(page)
            cursor = page.json["next_cursor"]
        assert "".join(name[0] for name in seen) == expected
        assert cursor is None

    def test_a_product_that_joins_between_two_pages_hides_and_repeats_none(self, client, shelf):
        first = client.get("/products", query_string={"q": shelf, "sort": "name", "limit": 2})
        client.post("/products", json={"sku": f"A-{shelf}", "name": f"A {shelf}", "price": "1.00"})
        rest = client.get("/products", query_string={"q": shelf, "sort": "name", "cursor": first.json["next_cursor"]})
        assert "".join(name[0] for name in names(first) + names(rest)) == "BCDEF"

    def test_search_takes_either_case_and_no_wildcards(self, client, shelf):
        assert len(names(client.get("/products", query_string={"q": shelf.upper()}))) == 5
        assert names(client.get("/products", query_string={"q": f"%{shelf}"})) == []
        assert names(client.get("/products", query_string={"q": f"_{shelf}"})) == []

    def test_search_knows_the_case_of_every_letter(self, client, shelf):
        product = {"sku": f"\u00dcBER-{shelf}", "name": f"\u041b\u0430\u043c\u043f\u0430 {shelf}", "price": "1.00"}
        assert client.post("/products", json=product).status_code == 201
        for part in ("\u00fcber-", "\u041b\u0410\u041c\u041f\u0410 "):
            assert names(client.get("/products", query_string={"q": part + shelf})) == [product["name"]]

    def test_filters_are_all_kept(self, client, shelf):
        (found,) = client.get("/products", query_string={"sku": f"B-{shelf}"}).json["items"]
        client.patch(f"/products/{found['id']}", json={"status": "inactive"})
        assert names(client.get("/products", query_string={"q": shelf, "status": "inactive"})) == [f"B {shelf}"]
        assert names(client.get("/products", query_string={"sku": f"B-{shelf}", "status": "active"})) == []

    def test_a_cursor_goes_on_with_the_sort_that_it_was_made_for(self, client, shelf):
        cursor = client.get("/products", query_string={"q": shelf, "sort": "name", "limit": 1}).json["next_cursor"]
        refused = client.get("/products", query_string={"q": shelf, "sort": "-name", "cursor": cursor})
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "cursor")

    @pytest.mark.parametrize(
        "query",
        [
            {"limit": 0},
            {"limit": 101},
            {"status": "sold"},
            {"sort": "stock_quantity"},
            {"sku": "L\x00"},
            {"colour": "blue"},
            {"cursor": "no"},
            {"cursor": "WyItY3JlYXRlZF9hdCIsIDUsIDVd"},
            {"cursor": "WyItY3JlYXRlZF9hdCIsICJcdTAwMDAiLCAiXHVkODAwIl0", "sort": "name"},
            {
                "cursor": "WyJwcmljZSIsICIxZTk5OTk5IiwgIjAxOTIwZjNlLTdkNGMtN2JiMi1hM2M1LWQ4ZTlmMGExYjJjMyJd",
                "sort": "price",
            },
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused_naming_the_parameter(self, client, query):
        refused = client.get("/products", query_string=query)
        assert refused.status_code == 422
        assert refused.json["errors"][0]["field"] in query
