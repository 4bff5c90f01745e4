"""A request sent twice makes one order, whatever happens to Redis and to the gateway in between."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
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
    other_body = client.post("/orders", json={**ORDER, "x": 1}, headers=key)
    other_path = client.post("/customers", json=ORDER, headers=key)
    for answer in (other_body, other_path):
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert len(sales.seen) == 1


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


def test_fifty_copies_at_once_make_one_order(app: Flask, sales: Any, key: dict[str, str]) -> None:
    sales.meddle = lambda handler: time.sleep(0.05)

    def post(_number: int) -> Any:
        return app.test_client().post("/orders", json=ORDER, headers=key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    counts = Counter(each.status_code for each in answers)
    assert set(counts) <= {201, 409}
    assert len(sales.orders) == 1
    assert len(sales.seen) == 1
    assert {each.json["id"] for each in answers if each.status_code == 201} == set(sales.orders)
    busy = [each for each in answers if each.status_code == 409]
    assert busy
    assert {each.json["code"] for each in busy} == {"idempotency_key_in_progress"}
    assert {each.headers["Retry-After"] for each in busy} == {"1"}


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


def test_a_gateway_that_dies_before_keeping_the_answer_leaves_a_claim_that_ends(
    settings: Settings, sales: Any, key: dict[str, str], monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    # Given a gateway that dies between the service's answer and keeping it
    quick = Settings(
        redis_url=settings.redis_url,
        sales_url=settings.sales_url,
        upstream_timeout=0.2,
        upstream_connect_timeout=0.05,
    )
    dying = create_app(quick)
    monkeypatch.setattr(dying.extensions["door"].keys, "_settle", lambda *_: None)
    dying.test_client().post("/orders", json=ORDER, headers=key)

    # When the client sends the request again to another gateway
    client = create_app(quick).test_client()
    refused = client.post("/orders", json=ORDER, headers=key)

    # I expect the dead one's claim to hold for a moment, and the database to know the order after that
    assert (refused.status_code, refused.json["code"]) == (409, "idempotency_key_in_progress")
    answer = until(lambda: (got := client.post("/orders", json=ORDER, headers=key)).status_code != 409 and got)
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert (len(sales.orders), len(sales.seen)) == (1, 2)


def test_a_refusal_is_not_remembered(client: FlaskClient, sales: Any, key: dict[str, str]) -> None:
    problem = {"Content-Type": "application/problem+json"}
    sales.answers["/orders"] = (422, problem, b"{}")
    assert client.post("/orders", json=ORDER, headers=key).status_code == 422
    sales.answers.clear()
    assert client.post("/orders", json=ORDER, headers=key).status_code == 201


def test_a_refusal_gives_up_no_claim_but_its_own(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    name = f"idempotency:public:{key['Idempotency-Key']}"

    def claim_by_another(_handler: object) -> None:
        with valkey.client() as redis:
            redis.set(name, b"another's, after mine had ended")

    sales.answers["/orders"] = (422, {"Content-Type": "application/problem+json"}, b"{}")
    sales.meddle = claim_by_another
    client.post("/orders", json=ORDER, headers=key)
    with valkey.client() as redis:
        assert redis.get(name) == b"another's, after mine had ended"


def test_a_refusal_leaves_nothing_in_redis(
    client: FlaskClient, sales: Any, valkey: Valkey, key: dict[str, str]
) -> None:
    sales.answers["/orders"] = (422, {"Content-Type": "application/problem+json"}, b"{}")
    client.post("/orders", json=ORDER, headers=key)
    with valkey.client() as redis:
        assert redis.get(f"idempotency:public:{key['Idempotency-Key']}") is None


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
