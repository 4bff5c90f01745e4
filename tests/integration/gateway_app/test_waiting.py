"""``Prefer: wait=N`` holds the answer until the order's saga has ended; a lost wake-up does not hold it longer."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chassis.cache import Cache
from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey
from gateway_app.app import create_app
from gateway_app.waiting import FIRST_PAUSE

ORDER = {"customer_id": str(uuid4()), "items": []}
WAIT = {"Prefer": "wait=10"}


class Saga:
    """What sales' worker does: it moves an order on and announces that."""

    def __init__(self, sales: Any, cache: Cache) -> None:
        self.sales, self.cache = sales, cache

    def end(self, status: str, announce: bool = True, order_id: str = "") -> None:
        order_id = order_id or next(iter(self.sales.orders))
        self.sales.orders[order_id]["status"] = status
        if announce:
            self.cache.announce({order_id: status})


@pytest.fixture
def saga(sales: Any, cache: Cache) -> Saga:
    return Saga(sales, cache)


def in_background(action: Callable[[], Any]) -> Any:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(action)
    pool.shutdown(wait=False)
    return future


def test_the_answer_comes_when_the_saga_has_ended(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    answer = in_background(lambda: client.post("/orders", json=ORDER, headers=WAIT))
    until(sales.reads)
    assert not answer.done()
    saga.end("Pending Shipment")
    ended = answer.result(1.5)  # sooner than the order is read again anyway
    assert (ended.status_code, ended.json["status"]) == (201, "Pending Shipment")
    assert ended.headers["Preference-Applied"] == "wait=10"
    assert ended.headers["Location"] == f"/orders/{ended.json['id']}"
    assert ended.headers["ETag"] == '"2"'
    assert sales.reads() == 2


def test_without_the_header_nobody_waits(client: FlaskClient, sales: Any) -> None:
    answer = client.post("/orders", json=ORDER, headers={"Prefer": "wait=soon"})
    assert answer.json["status"] == "Pending"
    assert "Preference-Applied" not in answer.headers
    assert sales.reads() == 0


def test_an_announcement_before_the_subscription_is_made_up_for_by_reading(
    client: FlaskClient, sales: Any, saga: Saga
) -> None:
    def end_at_once(handler: Any) -> None:
        if handler.command == "GET":
            saga.end("Pending Shipment", announce=False)

    sales.meddle = end_at_once
    began = time.monotonic()
    assert client.post("/orders", json=ORDER, headers=WAIT).json["status"] == "Pending Shipment"
    assert time.monotonic() - began < 1


def test_an_announcement_between_the_subscription_and_reading_is_heard(
    client: FlaskClient, sales: Any, saga: Saga
) -> None:
    # Given a read that sees the order as it was before the announcement
    def announce_after_reading(handler: Any) -> None:
        if sales.reads() == 1 and handler.command == "GET":
            order_id = next(iter(sales.orders))
            sales.answers[f"/orders/{order_id}"] = (200, {}, sales_body(sales.orders[order_id]))
            saga.end("Pending Shipment")
        else:
            sales.answers.clear()

    sales.meddle = announce_after_reading
    began = time.monotonic()
    assert client.post("/orders", json=ORDER, headers=WAIT).json["status"] == "Pending Shipment"
    assert time.monotonic() - began < 1


def sales_body(order: dict[str, Any]) -> bytes:
    return f'{{"id": "{order["id"]}", "status": "{order["status"]}"}}'.encode()


def test_an_announcement_that_never_comes_is_made_up_for_by_reading_again(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    answer = in_background(lambda: client.post("/orders", json=ORDER, headers=WAIT))
    until(sales.reads)
    saga.end("Rejected", announce=False)
    assert answer.result(4).json["status"] == "Rejected"


def test_the_order_is_read_once_the_subscription_is_confirmed_and_not_before(
    client: FlaskClient, sales: Any, saga: Saga, valkey: Valkey
) -> None:
    # Given a gateway that listens already, and a Redis that takes 0.3 s for everything
    client.post("/orders", json=ORDER, headers={"Prefer": "wait=1"})
    sales.orders.clear()
    times = {}

    def note(handler: Any) -> None:
        times.setdefault(handler.command, time.monotonic())
        if handler.command == "POST":
            with valkey.client() as redis:
                redis.execute_command("CLIENT", "PAUSE", "300")
        else:
            saga.end("Pending Shipment", announce=False)

    sales.meddle = note
    client.post("/orders", json=ORDER, headers=WAIT)
    assert times["GET"] - times["POST"] > FIRST_PAUSE + 0.25


def test_an_order_that_ends_soon_is_read_once(
    client: FlaskClient, sales: Any, saga: Saga, valkey: Valkey, until: Callable[..., Any]
) -> None:
    answer = in_background(lambda: client.post("/orders", json=ORDER, headers=WAIT))
    with valkey.client() as redis:
        until(redis.pubsub_channels)
    saga.end("Pending Shipment")
    assert answer.result(1.5).json["status"] == "Pending Shipment"
    assert sales.reads() == 1


def test_an_order_that_has_ended_is_not_read_again(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Cancelled"}
    answer = client.post(f"/orders/{order_id}/cancel", headers=WAIT)
    assert (answer.status_code, answer.json["status"], sales.reads()) == (200, "Cancelled", 0)


def test_when_the_time_is_up_the_answer_is_the_order_as_it_is(client: FlaskClient) -> None:
    began = time.monotonic()
    answer = client.post("/orders", json=ORDER, headers={"Prefer": "wait=1"})
    assert 1 <= time.monotonic() - began < 2
    assert (answer.status_code, answer.json["status"]) == (201, "Pending")
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_a_cancel_that_was_waited_for_is_answered_200(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Cancelling"}
    assert client.post(f"/orders/{order_id}/cancel").status_code == 202
    answer = in_background(lambda: client.post(f"/orders/{order_id}/cancel", headers=WAIT))
    until(sales.reads)
    saga.end("Cancelled")
    assert (answer.result(1.5).status_code, answer.result().json["status"]) == (200, "Cancelled")


def test_a_cancel_that_takes_longer_is_answered_202(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Cancelling"}
    answer = client.post(f"/orders/{order_id}/cancel", headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["status"]) == (202, "Cancelling")


def test_a_move_is_waited_for_until_the_order_has_the_status_that_was_asked_for(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending Shipment"}
    move = {"status": "In Transit"}
    answer = in_background(lambda: client.patch(f"/orders/{order_id}/status", json=move, headers=WAIT))
    until(sales.reads)
    assert not answer.done()
    saga.end("In Transit")
    assert (answer.result(1.5).status_code, answer.result().json["status"]) == (200, "In Transit")


def test_a_refused_move_ends_the_wait_by_its_announcement(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending Shipment"}
    move = {"status": "In Transit"}
    answer = in_background(lambda: client.patch(f"/orders/{order_id}/status", json=move, headers=WAIT))
    until(sales.reads)
    saga.end("Pending Shipment")
    assert (answer.result(1.5).status_code, answer.result().json["status"]) == (200, "Pending Shipment")


def test_a_body_that_only_the_service_can_read_is_not_waited_for(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending Shipment"}
    body = '{"status": "In Transit"}'.encode("utf-16")
    json_type = {"Content-Type": "application/json"}
    answer = client.patch(f"/orders/{order_id}/status", data=body, headers={**json_type, **WAIT})
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_a_replayed_order_can_be_waited_for(client: FlaskClient, sales: Any, saga: Saga) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    client.post("/orders", json=ORDER, headers=key)
    saga.end("Pending Shipment")
    began = time.monotonic()
    answer = client.post("/orders", json=ORDER, headers={**key, **WAIT})
    assert time.monotonic() - began < FIRST_PAUSE  # it may have ended long ago
    assert (answer.status_code, answer.json["status"]) == (201, "Pending Shipment")
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_what_is_kept_under_the_key_is_not_the_waited_for_answer(
    client: FlaskClient, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    answer = in_background(lambda: client.post("/orders", json=ORDER, headers={**key, **WAIT}))
    until(sales.reads)
    saga.end("Pending Shipment")
    answer.result(1.5)
    assert client.post("/orders", json=ORDER, headers=key).json["status"] == "Pending"


def test_half_of_the_threads_wait_and_the_others_are_answered_at_once(
    app: Flask, sales: Any, saga: Saga, until: Callable[..., Any]
) -> None:
    def post() -> Any:
        return app.test_client().post("/orders", json=ORDER, headers=WAIT)

    waiting = [in_background(post) for _ in range(2)]  # of four threads
    until(lambda: sales.reads() == 2)
    crowded = post()
    assert (crowded.status_code, crowded.json["status"]) == (201, "Pending")
    assert "Preference-Applied" not in crowded.headers
    for order_id in list(sales.orders):
        saga.end("Pending Shipment", order_id=order_id)
    assert {each.result(1.5).json["status"] for each in waiting} == {"Pending Shipment"}
    sales.meddle = lambda handler: [saga.end("Rejected", order_id=each) for each in sales.orders]
    assert post().headers["Preference-Applied"] == "wait=10"


def test_many_wait_on_one_connection(
    settings: Settings, sales: Any, saga: Saga, valkey: Valkey, until: Callable[..., Any]
) -> None:
    everybody = Settings(redis_url=settings.redis_url, sales_url=settings.sales_url, gateway_threads=32)
    app = create_app(everybody)
    waiting = [in_background(lambda: app.test_client().post("/orders", json=ORDER, headers=WAIT)) for _ in range(16)]
    until(lambda: sales.reads() == 16)
    with valkey.client() as redis:
        assert len(redis.client_list(_type="pubsub")) == 1
    for order_id in list(sales.orders):
        saga.end("Pending Shipment", order_id=order_id)
    for each in waiting:
        assert each.result(1.5).json["status"] == "Pending Shipment"
    with valkey.client() as redis:
        until(lambda: redis.pubsub_channels() == [])


def test_without_redis_the_order_is_read_until_it_has_ended(settings: Settings, sales: Any, saga: Saga) -> None:
    nowhere = Settings(redis_url=f"redis://127.0.0.1:{free_port()}", sales_url=settings.sales_url)
    client = create_app(nowhere).test_client()
    threading.Timer(0.3, lambda: saga.end("Pending Shipment", announce=False)).start()
    began = time.monotonic()
    answer = client.post("/orders", json=ORDER, headers=WAIT)
    assert answer.json["status"] == "Pending Shipment"
    assert time.monotonic() - began < 1.5
    assert sales.reads() < 10


def test_redis_may_go_away_while_somebody_waits(
    client: FlaskClient, sales: Any, saga: Saga, valkey: Valkey, until: Callable[..., Any]
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending Shipment"}
    move = {"status": "In Transit"}
    answer = in_background(lambda: client.patch(f"/orders/{order_id}/status", json=move, headers=WAIT))
    until(sales.reads)
    with valkey.client() as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: sales.reads() > 2)  # by now it polls; and that the connection was lost, it took for no announcement
    assert not answer.done()
    saga.end("In Transit", announce=False)
    assert answer.result(1.5).json["status"] == "In Transit"


def test_an_order_that_cannot_be_read_while_waiting_is_answered_as_it_was_taken(
    client: FlaskClient, sales: Any
) -> None:
    def go_away(handler: Any) -> None:
        if handler.command == "GET":
            handler.close_connection = True

    sales.meddle = go_away
    answer = client.post("/orders", json=ORDER, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["status"]) == (201, "Pending")
    assert "Preference-Applied" not in answer.headers
