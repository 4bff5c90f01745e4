"""A request sent twice makes one order, whatever happens to Redis and to the gateway in between."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from gateway_app.app import create_app

ORDER = {"customer_id": str(uuid4()), "items": []}


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def test_the_second_answer_is_the_first_one_and_says_so(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    first = client.post("/orders", json=ORDER, headers=key)
    sales.orders[first.json["id"]]["status"] = "Delivered"
    second = client.post("/orders", json=ORDER, headers=key)
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (second.status_code, second.data) == (201, first.data)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["ETag"] == first.headers["ETag"]
    assert len(sales.seen) == 1


def test_a_quoted_key_is_the_same_key(client: FlaskClient, sales: Any) -> None:
    key = str(uuid4())
    client.post("/orders", json=ORDER, headers={"Idempotency-Key": key})
    assert client.post("/orders", json=ORDER, headers={"Idempotency-Key": f'"{key}"'}).status_code == 201
    assert len(sales.orders) == 1


@pytest.mark.parametrize("bad", ["", "x" * 256, '""', "a\tb"])
def test_a_key_against_the_rules_is_refused(client: FlaskClient, sales: Any, bad: str) -> None:
    answer = client.post("/orders", json=ORDER, headers={"Idempotency-Key": bad})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"
    assert sales.seen == []


def test_the_key_of_another_request_is_refused(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    client.post("/orders", json=ORDER, headers=key)
    answer = client.post("/orders", json={**ORDER, "x": 1}, headers=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert len(sales.seen) == 1


def test_a_key_of_one_route_is_free_on_another(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    sales.answers["/customers"] = (201, {}, b'{"id": "c"}')
    assert client.post("/orders", json=ORDER, headers=key).status_code == 201
    for replayed in (None, "true"):
        answer = client.post("/customers", json=ORDER, headers=key)
        assert (answer.status_code, answer.json) == (201, {"id": "c"})
        assert answer.headers.get("Idempotent-Replayed") == replayed


def test_a_key_of_one_product_is_no_key_of_another(client: FlaskClient, inventory: Any, key: dict[str, str]) -> None:
    """A key's scope is the route, not the path: the other product makes it another request."""
    paths = [f"/products/{uuid4()}/stock" for _ in range(2)]
    answers = [client.post(path, json={}, headers=key).status_code for path in paths]
    assert (answers, len(inventory.seen)) == ([200, 422], 1)


def test_a_large_answer_is_not_kept_and_is_answered_all_the_same(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    first = client.post("/orders", json=ORDER, headers=key)
    order = sales.orders[first.json["id"]]
    with valkey.client() as redis:
        [kept] = redis.keys(f"idempotency:*{key['Idempotency-Key']}")
        assert 0 < redis.ttl(kept) <= 3_600
        redis.delete(kept)
        order["items"] = ["x" * 100] * 100
        second = client.post("/orders", json=ORDER, headers=key)
        third = client.post("/orders", json=ORDER, headers=key)
        assert redis.keys(f"idempotency:*{key['Idempotency-Key']}") == []
    assert second.json == third.json == order
    assert third.headers["Idempotent-Replayed"] == "true"
    assert (len(sales.orders), len(sales.seen)) == (1, 3)


def test_a_forged_digest_does_not_pass_for_the_request(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    client.post("/orders", json=ORDER, headers=key)
    digest = sales.seen[0].headers["X-Request-Digest"]
    forged = client.post("/orders", json={"other": 1}, headers={**key, "X-Request-Digest": digest})
    assert forged.status_code == 422


def test_a_request_that_creates_nothing_takes_no_notice_of_a_key(
    client: FlaskClient, inventory: Any, key: dict[str, str]
) -> None:
    client.post("/check-availability", json={"items": []}, headers=key)
    client.post("/check-availability", json={"items": [1]}, headers=key)
    assert ["Idempotency-Key" in each.headers for each in inventory.seen] == [False, False]


def test_fifty_copies_at_once_make_one_order(settings: Settings, sales: Any, key: dict[str, str]) -> None:
    """None is told to come again: those that come while the first is under way wait for it in the database."""
    app = create_app(replace(settings, gateway_threads=50, upstream_share=1.0))
    together = threading.Barrier(50, timeout=20)
    sales.meddle = lambda handler: together.wait()

    def post(_number: int) -> Any:
        return app.test_client().post("/orders", json=ORDER, headers=key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    assert {(each.status_code, each.json["id"]) for each in answers} == {(201, id_) for id_ in sales.orders}
    assert len(sales.orders) == 1
    assert sum("Idempotent-Replayed" not in each.headers for each in answers) == 1


def test_two_gateways_without_redis_make_one_order_of_fifty_copies(
    settings: Settings, sales: Any, key: dict[str, str]
) -> None:
    nowhere = Settings(redis_url=f"redis://127.0.0.1:{free_port()}", sales_url=settings.sales_url)
    gateways = [create_app(nowhere), create_app(nowhere)]

    def post(number: int) -> Any:
        return gateways[number % 2].test_client().post("/orders", json=ORDER, headers=key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    assert {each.status_code for each in answers} == {201}
    assert len(sales.orders) == 1
    assert len(sales.seen) == 50
    assert sum("Idempotent-Replayed" not in each.headers for each in answers) == 1


def test_a_flushed_redis_makes_no_second_order(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    first = client.post("/orders", json=ORDER, headers=key)
    with valkey.client() as redis:
        redis.flushall()
    second = client.post("/orders", json=ORDER, headers=key)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (len(sales.orders), len(sales.seen)) == (1, 2)
    other = client.post("/orders", json={"other": 1}, headers=key)
    assert other.json["code"] == "idempotency_key_reused"


def test_a_redis_flushed_while_the_service_works_makes_no_second_order(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    def flush(_handler: object) -> None:
        with valkey.client() as redis:
            redis.flushall()

    sales.meddle = flush
    first = client.post("/orders", json=ORDER, headers=key)
    second = client.post("/orders", json=ORDER, headers=key)
    assert second.json["id"] == first.json["id"]
    assert (len(sales.orders), len(sales.seen)) == (1, 1)


def test_a_retry_gets_the_order_of_a_gateway_that_died_before_it_kept_the_answer(
    settings: Settings, sales: Any, key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = create_app(settings)
    monkeypatch.setattr(dying.extensions["door"].keys, "_keep", lambda *_: None)
    first = dying.test_client().post("/orders", json=ORDER, headers=key)
    answer = create_app(settings).test_client().post("/orders", json=ORDER, headers=key)
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert answer.json == first.json
    assert (len(sales.orders), len(sales.seen)) == (1, 2)


def test_a_refusal_is_not_remembered(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    problem = {"Content-Type": "application/problem+json"}
    sales.answers["/orders"] = (422, problem, b"{}")
    assert client.post("/orders", json=ORDER, headers=key).status_code == 422
    sales.answers.clear()
    assert client.post("/orders", json=ORDER, headers=key).status_code == 201


def test_a_refusal_leaves_nothing_in_redis(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    sales.answers["/orders"] = (422, {"Content-Type": "application/problem+json"}, b"{}")
    client.post("/orders", json=ORDER, headers=key)
    with valkey.client() as redis:
        assert redis.keys(f"idempotency:*{key['Idempotency-Key']}") == []


def test_after_a_time_out_the_same_key_finds_the_order_that_was_made(
    client: FlaskClient, sales: Any, key: dict[str, str]
) -> None:
    release = threading.Event()
    sales.meddle = lambda handler: release.wait(10)
    assert client.post("/orders", json=ORDER, headers=key).status_code == 503
    release.set()
    answer = client.post("/orders", json=ORDER, headers=key)
    assert answer.status_code == 201
    assert len(sales.orders) == 1


def test_a_hanging_redis_costs_one_time_out_and_no_order(settings: Settings, sales: Any, valkey: Valkey) -> None:
    client = create_app(settings).test_client()
    client.post("/orders", json=ORDER, headers={"Idempotency-Key": str(uuid4())})
    with valkey.client() as redis:
        redis.execute_command("CLIENT", "PAUSE", "1500")
        began = time.monotonic()
        answers = [
            client.post("/orders", json=ORDER, headers={"Idempotency-Key": str(uuid4())}).status_code for _ in range(5)
        ]
        took = time.monotonic() - began
        redis.execute_command("CLIENT", "UNPAUSE")
    assert answers == [201] * 5
    assert took < 2 * settings.redis_timeout
