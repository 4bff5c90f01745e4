"""Of two SKUs that people take for one another there is one, however they come; those of an older release are kept."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from chassis.codes import nfc
from chassis.database import transaction
from chassis.migrations import migrate
from inventory import lookalikes, models, queries, service
from inventory.errors import SkuLookalike, SkuTaken
from inventory.messages import CheckAvailability, Line

#: Seconds after which something that should have happened never will.
DEADLINE = 20


@pytest.fixture
def sku():
    """A SKU of capitals and digits that nobody has yet, with an M in front and a 7 at the end."""
    return f"MUG-{uuid7().hex[-12:].upper()}-K7"


def variants(sku):
    """Fifteen spellings that a clerk, a spreadsheet or another keyboard makes of it."""
    body = sku[1:]
    return [
        *(sku.lower(), sku.capitalize(), "\uff2d" + body, "\u041c" + body, "\u039c" + body, "\ua4df" + body),
        *(sku.replace("K", "\u041a"), sku.replace("K", "\u212a\u0301").replace("\u0301", ""), sku[:-1] + "\u0667"),
        *(sku.replace("-", "\u2010"), sku.replace("-", "\u2212"), sku.replace("U", "\u054d"), "\U0001d40c" + body),
        *(sku.replace("U", "\u03c5").lower(), sku.replace("K7", "K\uff17")),
    ]


def post(client, sku, **more):
    return client.post("/products", json={"sku": sku, "name": "Mug", "price": "1.00", **more})


def make(warehouse, sku, **more):
    with transaction(warehouse.sessions) as session:
        return service.create_product(session, {"sku": sku, "name": "Mug", "price": Decimal(1), **more}, None)[0]


def made_by_an_older_release(warehouse, sku):
    """A product whose row a process that knows of no looks has made."""
    product_id = uuid7()
    with transaction(warehouse.sessions) as session:
        session.execute(
            text("INSERT INTO products (id, sku, name, price, stock_quantity) VALUES (:id, :sku, 'Mug', 1, 9)"),
            {"id": product_id, "sku": sku},
        )
        session.execute(
            text(
                "INSERT INTO stock_movements (id, product_id, movement_type, quantity, reason)"
                " VALUES (:id, :product, 'adjust', 9, 'counted')"
            ),
            {"id": uuid7(), "product": product_id},
        )
    return product_id


class TestRefused:
    def test_every_variant_is_refused_and_the_answer_names_the_product_that_is_there(self, client, sku):
        there = post(client, sku).json
        for variant in variants(sku):
            refused = post(client, variant)
            if nfc(variant) == sku:
                assert (refused.status_code, refused.json["code"]) == (409, "sku_taken"), variant
                continue
            assert (refused.status_code, refused.json["code"]) == (409, "sku_lookalike"), variant
            assert (refused.json["product_id"], refused.json["sku"]) == (there["id"], sku)
            assert refused.json["errors"] == [
                {"field": "sku", "message": f"looks like {sku}, the SKU of product {there['id']}"}
            ]
        assert len(client.get("/products", query_string={"q": sku[4:-3]}).json["items"]) == 1

    @pytest.mark.parametrize("character", ["\u00ad", "\u200b", "\u2060", "\ufeff", "\u202e", "\u00a0", "\u3000", "\t"])
    def test_what_cannot_be_seen_is_refused_by_name(self, client, sku, character):
        refused = post(client, sku[:4] + character + sku[4:])
        assert (refused.status_code, refused.json["code"]) == (422, "invalid")
        [error] = refused.json["errors"]
        assert (error["field"], f"U+{ord(character):04X}" in error["message"]) == ("sku", True)

    def test_a_catalogue_from_a_mac_after_one_from_windows_makes_no_product_more(self, client, sku):
        composed, decomposed = f"CAF\u00c9-{sku}", f"CAFE\u0301-{sku}"
        first = post(client, composed)
        again = post(client, decomposed)
        assert (first.json["sku"], again.status_code, again.json["code"]) == (composed, 409, "sku_taken")
        for asked in (composed, decomposed):
            for query in ({"sku": asked}, {"q": asked}):
                [found] = client.get("/products", query_string=query).json["items"]
                assert found["id"] == first.json["id"]

    def test_what_is_stored_is_the_normal_form(self, client, sku):
        made = post(client, f"E\u0301-{sku}", name="Cafe\u0301", description="e\u0301").json
        assert (made["sku"], made["name"], made["description"]) == (f"\u00c9-{sku}", "Caf\u00e9", "\u00e9")

    def test_letters_of_one_alphabet_are_different_codes(self, client, sku):
        for letter in "L1I0O":
            assert post(client, f"{sku}-{letter}").status_code == 201

    def test_letters_of_one_alphabet_are_different_codes_where_they_look_alike_to_strangers(
        self, client, warehouse, sku
    ):
        for letter in "\u05d5\u05df":  # the Hebrew vav and the final nun
            assert post(client, f"{sku}-{letter}").status_code == 201
        with transaction(warehouse.sessions) as session:
            assert not any(sku in each["sku"] for group in queries.lookalikes(session) for each in group)
        assert post(client, f"{sku}-l").json["code"] == "sku_lookalike"

    def test_a_replay_is_answered_though_a_lookalike_was_allowed_meanwhile(self, client, sku):
        body, key = {"sku": sku, "name": "Mug", "price": "1.00"}, {"Idempotency-Key": uuid7().hex}
        first = client.post("/products", json=body, headers=key)
        assert post(client, sku.lower(), allow_lookalikes=True).status_code == 201
        again = client.post("/products", json=body, headers=key)
        assert (again.status_code, again.json["id"]) == (201, first.json["id"])

    def test_an_idempotency_key_is_one_in_either_form(self, client, sku):
        body = {"sku": sku, "name": "Mug", "price": "1.00"}
        keys = [unicodedata.normalize(form, f"caf\u00e9-{sku}").encode().decode("latin-1") for form in ("NFC", "NFD")]
        first, again = (client.post("/products", json=body, headers={"Idempotency-Key": key}) for key in keys)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.headers["Idempotent-Replayed"] == "true"


class TestAllowed:
    def test_a_lookalike_that_is_allowed_is_a_product_of_its_own(self, client, warehouse, sku):
        first = post(client, sku).json
        second = post(client, sku.lower(), allow_lookalikes=True)
        assert second.status_code == 201
        for product in (first, second.json):
            [found] = client.get("/products", query_string={"sku": product["sku"]}).json["items"]
            assert found["id"] == product["id"]
        with transaction(warehouse.sessions) as session:
            groups = queries.lookalikes(session)
        assert [{"id": first["id"], "sku": sku}, {"id": second.json["id"], "sku": sku.lower()}] in groups

    def test_the_same_text_is_never_allowed(self, client, sku):
        post(client, f"\u00c9-{sku}")
        refused = post(client, f"E\u0301-{sku}", allow_lookalikes=True)
        assert (refused.status_code, refused.json["code"]) == (409, "sku_taken")

    @pytest.mark.parametrize("value", [1, "true", None, 0])
    def test_only_true_and_false_are_an_answer(self, client, sku, value):
        refused = post(client, sku, allow_lookalikes=value)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "allow_lookalikes")


class TestAtOnce:
    def race(self, warehouse, skus):
        """What comes of products with these SKUs that are all made at the same moment: the outcomes by name."""
        barrier = Barrier(len(skus))

        def one(sku):
            barrier.wait(DEADLINE)
            try:
                make(warehouse, sku)
            except (SkuLookalike, SkuTaken) as refused:
                return refused.code
            return "made"

        with ThreadPoolExecutor(len(skus)) as pool:
            return list(pool.map(one, skus, timeout=DEADLINE))

    def test_of_many_at_once_one_is_made(self, warehouse, sku):
        outcomes = self.race(warehouse, [sku, *variants(sku)[:11]])
        assert outcomes.count("made") == 1
        assert len(warehouse.rows("SELECT FROM sku_looks WHERE look = :look", look=sku.casefold())) == 1

    def test_two_that_meet_wait_for_each_other_and_one_is_made(self, warehouse, sku):
        assert self.made_while_another_is_under_way(warehouse, sku) == "sku_lookalike"

    def test_control_without_the_lock_both_are_made(self, warehouse, sku, monkeypatch):
        monkeypatch.setattr(lookalikes, "_LOCK_LOOKS", text("SELECT CAST(:looks AS text[])"))
        assert self.made_while_another_is_under_way(warehouse, sku) == "made"

    def made_while_another_is_under_way(self, warehouse, sku):
        """What comes of a lookalike while the first has not committed; it waits for that where it is guarded."""
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                service.create_product(session, {"sku": sku, "name": "Mug", "price": Decimal(1)}, None)
                pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
                second = pool.submit(self.race, warehouse, [sku.lower()])
                waits = "SELECT FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))"
                while not second.done() and not warehouse.rows(waits, pid=pid):
                    pass
            return second.result(DEADLINE)[0]


def a_minute_passes(warehouse):
    """Since the looks of all products were read."""
    with transaction(warehouse.sessions) as session:
        session.execute(text("UPDATE sku_looks_read SET at = at - interval '61 seconds'"))


class TestOfAnOlderRelease:
    def test_what_it_makes_beside_this_one_is_seen_after_a_minute(self, warehouse, client, sku):
        there = made_by_an_older_release(warehouse, f"MUG\u00ad{sku[3:]}")
        a_minute_passes(warehouse)
        refused = post(client, sku)
        assert (refused.status_code, refused.json["product_id"]) == (409, str(there))
        assert post(client, sku, allow_lookalikes=True).status_code == 201
        assert len(warehouse.rows("SELECT FROM sku_looks WHERE product_id = :id", id=there)) == 1
        assert not warehouse.rows("SELECT FROM sku_looks_read WHERE at < now() - interval '1 minute'")

    def test_nobody_waits_for_who_reads_them(self, warehouse, client, sku):
        a_minute_passes(warehouse)
        with transaction(warehouse.sessions) as session:
            service.create_product(session, {"sku": f"{sku}-1", "name": "Mug", "price": Decimal(1)}, None)
            assert post(client, f"{sku}-2").status_code == 201

    def test_a_row_that_somebody_holds_is_read_without_waiting(self, warehouse, client, sku):
        there = made_by_an_older_release(warehouse, sku.lower())
        a_minute_passes(warehouse)
        with transaction(warehouse.sessions) as session:
            models.lock_products(session, [there])
            assert post(client, sku).json["product_id"] == str(there)

    def test_a_sku_that_it_stored_decomposed_is_found_in_either_form_and_is_taken(self, warehouse, client, sku):
        there = made_by_an_older_release(warehouse, f"CAFE\u0301-{sku}")
        for form in ("NFC", "NFD"):
            asked = unicodedata.normalize(form, f"CAF\u00c9-{sku}")
            for query in ({"sku": asked}, {"q": asked}):
                [found] = client.get("/products", query_string=query).json["items"]
                assert found["id"] == str(there)
        a_minute_passes(warehouse)
        assert post(client, f"CAF\u00c9-{sku}", allow_lookalikes=True).json["code"] == "sku_taken"

    def test_two_that_look_the_same_are_read_changed_and_ordered_as_ever(self, warehouse, client, sku):
        pair = [made_by_an_older_release(warehouse, each) for each in (sku, f"MUG\u200b{sku[3:]}")]
        for product in pair:
            assert client.get(f"/products/{product}").status_code == 200
            assert client.patch(f"/products/{product}", json={"price": "2.00"}).status_code == 200
            order = warehouse.order((product, 2))
            with transaction(warehouse.sessions) as session:
                lines = [Line(product, 2)]
                [answer] = service.check_availability(session, [CheckAvailability(order, lines)])
            assert (answer.outcome, warehouse.reserve(order)) == ("ok", [None])
        warehouse.products = pair
        warehouse.audit()


class TestMigration:
    def test_products_that_are_there_get_their_looks_and_keep_their_skus(self, scratch_database):
        sessions = scratch_database("inventory")
        migrate("inventory", "0003")
        skus = ["CUP-1", "cup-1", "CUP\u00ad-1", "CAFE\u0301", "\u041cUG"]
        with transaction(sessions) as session:
            for each in skus:
                insert = text("INSERT INTO products (id, sku, name, price) VALUES (:id, :sku, 'Cup', 1)")
                session.execute(insert, {"id": uuid7(), "sku": each})
        with transaction(sessions) as held:  # an order at work on a product holds up no migration
            held.execute(text("UPDATE products SET stock_quantity = 1 WHERE sku = 'CUP-1'"))
            migrate("inventory")
        with transaction(sessions) as session:
            there = session.execute(text("SELECT sku FROM products ORDER BY id")).scalars().all()
            looks = "SELECT sku FROM products JOIN sku_looks ON id = product_id WHERE look = :look ORDER BY id"
            found = {look: session.execute(text(looks), {"look": look}).scalars().all() for look in ("cup-1", "mug")}
            [group] = queries.lookalikes(session)
        assert (there, found) == (skus, {"cup-1": skus[:3], "mug": ["\u041cUG"]})
        assert [each["sku"] for each in group] == skus[:3]
        migrate("inventory", "0003")
        migrate("inventory")
