"""A request sent twice makes one order, however it is sent."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.idempotency import IdempotencyKeyReused, RequestKey
from sales.placing import Draft, Placed, place_orders
from tests.integration.conftest import Scratch
from tests.integration.sales.conftest import Shop, about

TIMES = 50
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid7().hex}


def orders_of(shop: Shop) -> int:
    [(count,)] = shop.rows("SELECT count(*) FROM orders WHERE customer_id = :id", id=shop.customer["id"])
    return int(count)


class TestTheSameRequestAgain:
    def test_is_a_replay_that_shows_the_order_as_it_is_now(self, shop: Shop, key: dict[str, str]) -> None:
        first = shop.http.post("/orders", json=shop.draft(2), headers=key)
        shop.respond(first.json)
        shop.hear(about(first.json, "place", delivery=("PENDING", 1)))

        second = shop.http.post("/orders", json=shop.draft(2), headers=key)

        assert (first.status_code, second.status_code) == (201, 201)
        assert ("Idempotent-Replayed" in first.headers, second.headers["Idempotent-Replayed"]) == (False, "true")
        assert second.json == shop.order(first.json)
        assert (second.json["status"], second.json["total_amount"]) == ("Pending Shipment", "25.00")
        assert second.headers["Location"] == first.headers["Location"]
        assert second.headers["ETag"] == f'"{second.json["version"]}"'
        assert orders_of(shop) == 1

    def test_sends_nothing_and_notes_nothing(self, shop: Shop, key: dict[str, str]) -> None:
        order = shop.http.post("/orders", json=shop.draft(2), headers=key).json
        shop.http.post("/orders", json=shop.draft(2), headers=key)
        assert (len(shop.sent(order)), shop.kinds(order)) == (1, ["placed"])

    def test_may_spell_its_key_in_quotes(self, shop: Shop, key: dict[str, str]) -> None:
        shop.http.post("/orders", json=shop.draft(2), headers=key)
        quoted = {"Idempotency-Key": f'"{key["Idempotency-Key"]}"'}
        assert shop.http.post("/orders", json=shop.draft(2), headers=quoted).headers["Idempotent-Replayed"] == "true"

    def test_makes_one_customer(self, shop: Shop, key: dict[str, str]) -> None:
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        first, second = (shop.http.post("/customers", json=details, headers=key) for _ in range(2))
        assert (second.status_code, second.json) == (201, first.json)
        assert second.headers["Idempotent-Replayed"] == "true"

    def test_without_a_key_makes_another_order(self, shop: Shop) -> None:
        assert shop.place()["id"] != shop.place()["id"]


class TestAnotherRequestUnderTheSameKey:
    @pytest.mark.parametrize("change", ["quantity", "spelling"])
    def test_is_refused_naming_the_key(self, shop: Shop, key: dict[str, str], change: str) -> None:
        shop.http.post("/orders", json=shop.draft(2), headers=key)
        body = shop.draft(3) if change == "quantity" else shop.draft(2)
        # The hash is of the raw body: another spelling of the same JSON is another request.
        answer = shop.http.post("/orders", data=json.dumps(body, indent=1), headers={**key, **JSON})
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
        assert [each["field"] for each in answer.json["errors"]] == ["Idempotency-Key"]
        assert orders_of(shop) == 1

    def test_of_another_kind_has_keys_of_its_own(self, shop: Shop, key: dict[str, str]) -> None:
        """Behind the gateway, which refuses it, a key is unique in its table."""
        shop.http.post("/orders", json=shop.draft(2), headers=key)
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix"}
        assert shop.http.post("/customers", json=details, headers=key).status_code == 201

    def test_the_gateways_digest_counts_where_there_is_one(self, shop: Shop, key: dict[str, str]) -> None:
        """The gateway alone saw the request as the client sent it."""
        digest = {"X-Request-Digest": "a" * 64}
        shop.http.post("/orders", json=shop.draft(2), headers={**key, **digest})
        replayed = shop.http.post("/orders", json=shop.draft(3), headers={**key, **digest})
        refused = shop.http.post("/orders", json=shop.draft(2), headers={**key, "X-Request-Digest": "b" * 64})
        assert (replayed.headers["Idempotent-Replayed"], refused.status_code) == ("true", 422)


def test_a_refused_request_does_not_use_its_key_up(shop: Shop, key: dict[str, str]) -> None:
    refused = shop.http.post("/orders", json={**shop.draft(2), "customer_id": str(uuid7())}, headers=key)
    assert refused.status_code == 422
    taken = shop.http.post("/orders", json=shop.draft(2), headers=key)
    assert (taken.status_code, "Idempotent-Replayed" in taken.headers) == (201, False)


def send_fifty_at_once(shop: Shop, key: dict[str, str]) -> list[Any]:
    """The answers to fifty copies of one request, sent at the same moment."""
    together, draft = Barrier(TIMES), shop.draft(2)

    def send(_number: int) -> Any:
        together.wait()
        return shop.http.application.test_client().post("/orders", json=draft, headers=key)

    with ThreadPoolExecutor(TIMES) as pool:
        return list(pool.map(send, range(TIMES)))


def test_fifty_copies_at_once_make_one_order(shop: Shop, key: dict[str, str]) -> None:
    answers = send_fifty_at_once(shop, key)

    assert {each.status_code for each in answers} == {201}
    assert len({each.json["id"] for each in answers}) == 1
    assert sum("Idempotent-Replayed" not in each.headers for each in answers) == 1
    assert orders_of(shop) == 1
    order = answers[0].json
    assert (len(shop.sent(order)), shop.kinds(order)) == (1, ["placed"])


def test_control_without_the_unique_index_fifty_copies_make_more_than_one(
    scratch_database: Scratch, key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is the index that keeps the promise, and counting the orders sees it go.

    PostgreSQL takes no ON CONFLICT for an index that is not there, so that is taken out with it.
    """
    shop = Shop(scratch_database("sales"))
    with transaction(shop.sessions) as session:
        session.execute(text("DROP INDEX ix_orders_client_idempotency_key"))
    monkeypatch.setattr("chassis.idempotency._insert", insert_whatever_is_there)
    send_fifty_at_once(shop, key)
    assert orders_of(shop) > 1


def insert_whatever_is_there(session: Any, table: Any, values: dict[str, Any]) -> Any:
    """An insert that relies on no index."""
    return session.execute(table.insert().values(values).returning(table)).one()


def test_copies_that_share_a_transaction_make_one_order_and_one_of_them_is_no_replay(shop: Shop) -> None:
    body = {"customer_id": UUID(shop.customer["id"]), "items": [{"product_id": shop.lamp, "quantity": 1}]}
    same, other = RequestKey("public", uuid7().hex, "a" * 64), RequestKey("public", uuid7().hex, "b" * 64)
    reused = RequestKey("public", same.key, "c" * 64)
    with transaction(shop.sessions) as session:
        drafts = [Draft(body, each, "c-1") for each in (same, other, same, reused, same)]
        outcomes = place_orders(session, drafts, wait=False)
    first, neighbour, second, refused, third = outcomes
    assert isinstance(refused, IdempotencyKeyReused)
    assert {type(each) for each in (first, neighbour, second, third)} == {Placed}
    assert (first.replayed, second.replayed, third.replayed) == (False, True, True)
    assert first.order["id"] == second.order["id"] == third.order["id"]
    assert not neighbour.replayed
    assert orders_of(shop) == 2
