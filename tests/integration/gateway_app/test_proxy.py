"""Requests go to their service, answers come back, and a service that fails is never a hang."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from chassis.settings import Settings
from conveyor.embedded.ports import free_port
from gateway_app import upstream
from gateway_app.app import create_app
from gateway_app.upstream import Request, Upstream

ORDER = {"customer_id": str(uuid4()), "items": []}


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off_if(condition: Callable[[], bool]) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: break_off(handler) if condition() else None


def break_in_the_middle(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
    break_off(handler)


def test_a_request_reaches_its_service_with_the_headers_that_it_needs_and_no_others(
    client: FlaskClient, sales: Any
) -> None:
    client.post(
        "/orders",
        json=ORDER,
        headers={
            "X-Request-ID": "abc-1",
            "Cookie": "session=1",
            "Connection": "close, X-Private",
            "X-Private": "1",
            "X-Request-Digest": "forged",
            "Prefer": "return=minimal",
            "Authorization": "Basic abc",
        },
    )
    [seen] = sales.seen
    names = {name.lower() for name in seen.headers}
    assert seen.headers["X-Request-ID"] == "abc-1"
    assert seen.headers["Content-Type"] == "application/json"
    assert json.loads(seen.body) == ORDER
    assert not names & {"cookie", "connection", "x-private", "x-request-digest", "prefer", "authorization"}


@pytest.mark.parametrize("value", ['"3"', "*", "", "\xc3\xa9"])
def test_a_precondition_reaches_the_service_that_judges_it_whatever_it_says(
    client: FlaskClient, sales: Any, value: str
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Cancelling"}
    client.post(f"/orders/{order_id}/cancel", json={}, headers={"If-Match": value})
    client.patch(f"/orders/{order_id}/status", json={"status": "Cancelled"}, headers={"If-Match": value})
    assert [each.headers["If-Match"] for each in sales.seen] == [value, value]


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match", "If-Unmodified-Since"])
def test_what_makes_a_row_has_no_preconditions(client: FlaskClient, sales: Any, header: str) -> None:
    answer = client.post("/orders", json=ORDER, headers={header: "", "Idempotency-Key": str(uuid4())})
    assert (answer.status_code, answer.json["code"]) == (412, "precondition_not_supported")
    assert sales.seen == []


def test_a_client_that_has_the_newest_version_is_told_so(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.answers[f"/orders/{order_id}"] = (304, {"ETag": '"2"'}, b"")
    answer = client.get(f"/orders/{order_id}", headers={"If-None-Match": '"2"'})
    assert (answer.status_code, answer.headers["ETag"], answer.data) == (304, '"2"', b"")
    assert sales.seen[0].headers["If-None-Match"] == '"2"'


def test_a_query_string_arrives_as_it_was_sent(client: FlaskClient, sales: Any) -> None:
    client.get("/orders?status=Pending%20Shipment&status=a+b&cursor=%C3%BC==&x")
    assert sales.seen[0].target == "/orders?status=Pending%20Shipment&status=a+b&cursor=%C3%BC==&x"


def test_a_status_change_is_put_on_sales(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending Shipment"}
    answer = client.patch(f"/orders/{order_id}/status", json={"status": "Cancelled"})
    assert (sales.seen[0].method, sales.seen[0].target) == ("PUT", f"/orders/{order_id}/status")
    assert answer.status_code == 202


def test_an_answer_comes_back_without_what_is_between_gateway_and_service(client: FlaskClient, sales: Any) -> None:
    answer = client.post("/orders", json=ORDER, headers={"X-Request-ID": "abc-2"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/orders/{answer.json['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["X-Request-ID"] == "abc-2"
    assert "Server" not in answer.headers
    assert "Idempotent-Replayed" not in answer.headers


def test_a_services_problem_comes_back_as_it_is(client: FlaskClient, sales: Any) -> None:
    path = f"/orders/{uuid4()}"
    answer = client.get(path, headers={"X-Request-ID": "abc-3"})
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert (answer.json["instance"], answer.json["correlation_id"]) == (path, "abc-3")


def test_each_service_gets_its_own(client: FlaskClient, sales: Any, inventory: Any) -> None:
    client.get("/products")
    assert (len(sales.seen), inventory.seen[0].target) == (0, "/products")


def test_head_is_answered_like_get_without_a_body(client: FlaskClient, inventory: Any) -> None:
    answer = client.head("/products")
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_service_that_is_down_is_named_and_nothing_was_done(client: FlaskClient) -> None:
    answer = client.patch("/deliveries/1/status", json={"status": "DELIVERED"})
    assert answer.status_code == 503
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["code"] == "upstream_down"
    assert answer.json["may_have_been_executed"] is False
    assert "delivery" in answer.json["detail"]


def test_a_slow_service_is_not_waited_for_longer_than_the_setting(client: FlaskClient, sales: Any) -> None:
    release = threading.Event()
    sales.meddle = lambda handler: release.wait(20)
    began = time.monotonic()
    answer = client.post("/orders", json=ORDER)
    assert time.monotonic() - began < 5
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_timeout")
    assert answer.json["may_have_been_executed"] is True
    assert "read the current state" in answer.json["detail"]
    with_key = client.post("/orders", json=ORDER, headers={"Idempotency-Key": str(uuid4())})
    assert "same Idempotency-Key" in with_key.json["detail"]
    reading = client.get("/orders")
    assert reading.json["may_have_been_executed"] is False
    release.set()


@pytest.mark.parametrize("fault", [break_off, break_in_the_middle])
def test_an_order_without_a_key_is_sent_once_when_the_connection_breaks(
    client: FlaskClient, sales: Any, fault: Any
) -> None:
    sales.meddle = fault
    answer = client.post("/orders", json=ORDER)
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_broken")
    assert answer.json["may_have_been_executed"] is True
    assert len(sales.seen) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_connections_that_were_closed_while_idle_cost_nobody_anything(
    settings: Settings, sales: Any, method: str
) -> None:
    app = create_app(replace(settings, upstream_share=1.0))
    client = app.test_client()
    together = threading.Barrier(2, timeout=5)
    sales.meddle = lambda handler: together.wait()
    other = threading.Thread(target=app.test_client().get, args=("/orders",))
    other.start()
    client.get("/orders")
    other.join()
    sales.meddle = lambda handler: None
    sales.cut_connections()
    assert client.open("/orders", method=method, json=ORDER).status_code < 300
    assert len(sales.seen) == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_idle_for_long_is_not_used_again(client: FlaskClient, sales: Any, method: str) -> None:
    """The service may be about to close it: a request without a key that is lost then cannot be sent again."""
    client.get("/orders")
    assert client.open("/orders", method=method, json=ORDER).status_code < 300
    assert len(sales.connections) == 1
    client.application.extensions["door"].services["sales"]._longest_idle = 0.0
    sales.meddle = break_off_if(lambda: len(sales.connections) == 1)
    assert client.open("/orders", method=method, json=ORDER).status_code < 300
    assert len(sales.connections) == 2


@pytest.mark.parametrize(("idle_time", "longest"), [(15.0, 5.0), (4.0, 2.0)])
def test_the_gateway_gives_a_connection_up_before_the_service_does(
    settings: Settings, idle_time: float, longest: float
) -> None:
    assert Upstream("sales", settings.sales_url, replace(settings, idle_time=idle_time))._longest_idle == longest


def test_connections_that_nobody_uses_any_more_are_ended(settings: Settings, sales: Any) -> None:
    pool = Upstream("sales", sales.url, replace(settings, gateway_threads=32, upstream_share=1.0))
    together = threading.Barrier(8, timeout=5)
    sales.meddle = lambda handler: together.wait()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: pool.send(Request("GET", "/orders", {})), range(8)))
    sales.meddle = lambda handler: None
    assert len(pool._idle) == 8
    for each in list(pool._idle)[:-1]:
        each.used_at -= 60
    for _ in range(8):
        pool.send(Request("GET", "/orders", {}))
    assert len(pool._idle) == 1


def test_what_a_service_said_on_an_idle_connection_is_no_answer_to_the_next_request(
    client: FlaskClient, sales: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "FRESH_FOR", 0.0)
    client.get("/orders")
    sales.connections[0].sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert client.get("/orders").status_code == 200


def test_a_read_on_a_connection_that_a_service_closed_as_it_went_down_finds_it_down(
    client: FlaskClient, sales: Any
) -> None:
    client.get("/orders")
    sales.stop()
    assert client.get("/orders").json["code"] == "upstream_down"


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "again"}])
def test_a_request_is_repeated_once_where_that_does_no_harm(client: FlaskClient, sales: Any, key: Any) -> None:
    faults = [break_off]
    sales.meddle = lambda handler: faults.pop()(handler) if faults else None
    if key:
        answer = client.post("/orders", json=ORDER, headers={"Idempotency-Key": str(uuid4())})
    else:
        answer = client.get("/orders")
    assert answer.status_code < 300
    assert len(sales.seen) == 2


def test_a_cancel_is_sent_again_when_the_connection_breaks_and_one_with_a_precondition_is_not(
    client: FlaskClient, sales: Any
) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Cancelling"}
    faults = [break_off]
    sales.meddle = lambda handler: faults.pop()(handler) if faults else None
    assert client.post(f"/orders/{order_id}/cancel", json={}).status_code == 202
    assert len(sales.seen) == 2
    faults.append(break_off)
    answer = client.post(f"/orders/{order_id}/cancel", json={}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_broken")
    assert answer.json["may_have_been_executed"] is True
    assert "read the current state" in answer.json["detail"]
    assert len(sales.seen) == 3


def test_a_repeated_request_that_finds_the_service_gone_may_still_have_been_carried_out(
    client: FlaskClient, sales: Any
) -> None:
    def vanish(handler: BaseHTTPRequestHandler) -> None:
        sales.server.socket.shutdown(socket.SHUT_RDWR)  # nobody listens from here on
        break_off(handler)

    sales.meddle = vanish
    answer = client.post("/orders", json=ORDER, headers={"Idempotency-Key": str(uuid4())})
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_broken")
    assert answer.json["may_have_been_executed"] is True


def test_a_failure_that_is_no_problem_document_is_not_shown_to_clients(client: FlaskClient, sales: Any) -> None:
    sales.answers["/orders"] = (500, {"Content-Type": "text/html"}, b"<h1>Traceback</h1>")
    answer = client.get("/orders")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert b"Traceback" not in answer.data


def test_unknown_paths_methods_and_media_are_refused_at_the_door(client: FlaskClient, sales: Any) -> None:
    unknown = client.get("/parcels")
    nonsense = client.get("/orders/42")
    slashes = client.get("/orders//events")
    method = client.delete("/orders")
    media = client.post("/orders", data="a=b", content_type="application/x-www-form-urlencoded")
    large = client.post("/orders", json={"text": "x" * 1_048_576})
    answers = (unknown, nonsense, slashes, method, media, large)
    assert [each.status_code for each in answers] == [404, 404, 404, 405, 415, 413]
    assert {each.mimetype for each in answers} == {"application/problem+json"}
    assert method.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert sales.seen == []


@pytest.mark.parametrize(
    ("delivery_id", "code"),
    [
        ("17", "upstream_down"),  # known at the door, and nobody is behind it in this test
        ("9223372036854775807", "upstream_down"),
        ("01920f3e-7f02-7c11-8d46-02a7b3c4d5e6", "upstream_down"),
        ("9223372036854775808", "not_found"),
        ("%D9%A1", "not_found"),
        ("01920f3e7f027c118d4602a7b3c4d5e6", "not_found"),
        ("one", "not_found"),
    ],
)
def test_a_delivery_is_named_by_its_serial_or_its_uuid(client: FlaskClient, delivery_id: str, code: str) -> None:
    assert client.get(f"/deliveries/{delivery_id}").json["code"] == code


def test_a_page_of_another_site_cancels_nothing_and_reads_nothing(client: FlaskClient, sales: Any) -> None:
    order_id = str(uuid4())
    sales.orders[order_id] = {"id": order_id, "status": "Pending"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        answer = client.post(f"/orders/{order_id}/cancel", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (403, "cross_site")
    rebound = client.get("/orders", headers={"Host": "evil.example:3001"})
    assert (rebound.status_code, rebound.json["code"]) == (421, "unknown_host")
    assert sales.seen == []
    assert client.get("/health/live", headers={"Host": "evil.example:3001"}).status_code == 200


def test_the_root_leads_to_everything_that_the_door_has_lists_of(client: FlaskClient) -> None:
    answer = client.get("/").json
    assert answer == {
        "name": "Conveyor gateway", "docs": "/docs", "openapi": "/openapi.json", "health": "/health",
        "customers": "/customers", "deliveries": "/deliveries", "orders": "/orders", "products": "/products",
    }  # fmt: skip


def test_health_names_what_is_down(client: FlaskClient, sales: Any) -> None:
    sales.answers["/health/ready"] = (503, {"Content-Type": "application/problem+json"}, b"{}")
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json["status"] == "degraded"
    assert answer.json["services"] == {
        "gateway": "ok", "sales": "not_ready", "inventory": "ok", "delivery": "upstream_down",
    }  # fmt: skip
    assert answer.json["down"] == ["delivery", "sales"]


def test_health_is_ok_when_all_services_are(settings: Settings, sales: Any) -> None:
    everything = Settings(
        redis_url=settings.redis_url, sales_url=sales.url, inventory_url=sales.url, delivery_url=sales.url
    )
    answer = create_app(everything).test_client().get("/health")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")


def test_a_service_may_live_below_a_path(settings: Settings, sales: Any) -> None:
    below = Settings(redis_url=settings.redis_url, sales_url=f"{sales.url}/inner/")
    create_app(below).test_client().get("/orders?x=1")
    assert sales.seen[0].target == "/inner/orders?x=1"


def test_the_gateway_is_alive_and_not_ready_without_any_service() -> None:
    alone = Settings(redis_url=f"redis://127.0.0.1:{free_port()}")
    client = create_app(alone).test_client()
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["code"]) == (503, "unavailable")
    assert ready.json["down"] == ["delivery", "inventory", "redis", "sales"]


def test_the_gateway_is_ready_without_some_of_it_and_names_it(client: FlaskClient, sales: Any) -> None:
    sales.answers["/health/ready"] = (503, {"Content-Type": "application/problem+json"}, b"{}")
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["status"]) == (200, "degraded")
    assert ready.json["down"] == ["delivery", "sales"]
    assert ready.json["checked"] == ["delivery", "inventory", "redis", "sales"]


def test_without_redis_everything_works_and_it_is_named(settings: Settings, sales: Any) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    app = create_app(Settings(redis_url=nowhere, sales_url=sales.url, inventory_url=sales.url, delivery_url=sales.url))
    for path in ("/health", "/health/ready"):
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.json["status"], answer.json["down"]) == (200, "degraded", ["redis"])


def test_health_answers_in_time_while_services_and_redis_are_silent(settings: Settings) -> None:
    with contextlib.ExitStack() as stack:
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # it takes connections and says nothing
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        app = create_app(
            Settings(redis_url=url.replace("http", "redis"), sales_url=url, inventory_url=url, delivery_url=url)
        )
        client = app.test_client()
        for path in ("/health/ready", "/health", "/health/ready"):
            began = time.monotonic()
            answer = client.get(path)
            assert time.monotonic() - began < 2.5, path
            assert answer.status_code == 503, path
            assert {"delivery", "inventory", "sales"} <= set(answer.json["down"]), path
