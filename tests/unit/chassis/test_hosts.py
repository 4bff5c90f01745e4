"""Whom a request is for, and which page made the browser send it."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from chassis import hosts
from chassis.errors import SettingsError, UnknownHost
from chassis.hosts import Hosts, names_in
from chassis.settings import Settings, read
from chassis.web import create_base_app

SETTINGS = Settings(
    sales_url="http://sales:3000/inner", gateway_url="https://Shop.example.com", hosts="b.example, door,"
)


@pytest.fixture
def client() -> FlaskClient:
    app = create_base_app("things", SETTINGS, [], {})
    app.add_url_rule("/things", "list_things", lambda: {"things": []})
    app.add_url_rule("/things/1/cancel", "cancel", lambda: {"done": True}, methods=["POST", "PUT", "PATCH", "DELETE"])
    return app.test_client()


OURS = [
    "localhost", "localhost:3001", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:3001", "10.1.2.3:80", "[::1]",
    "[::1]:3001", "sales:3000", "sales", "shop.example.com", "SHOP.example.com:443", "b.example:8080", "door",
]  # fmt: skip
NOT_OURS = [
    "", "evil.example", "evil.example:3001", "localhost.evil.example", "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "evil.example:80:80", "[::1", "::1", "127.1", "0x7f.0.0.1", "2130706433", "inner", "shop", "example.com",
    "localhost:x", "sales:3000/evil", "a\u0130",
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
def test_a_request_for_a_name_of_this_process_is_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/things", headers={"Host": host}).status_code == 200
    assert client.get("/things", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", NOT_OURS)
@pytest.mark.parametrize("path", ["/things", "/nowhere", "/", "/openapi.json", "/healthy", "/docs/"])
def test_a_request_for_another_is_refused_whatever_it_asks_for(client: FlaskClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.mimetype, answer.json["code"]) == (
        421, "application/problem+json", "unknown_host",
    )  # fmt: skip
    assert "CONVEYOR_HOSTS" in answer.json["detail"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
@pytest.mark.parametrize("host", ["", "evil.example", "10-0-0-7.pod.cluster.local:3000"])
def test_a_probe_may_ask_for_health_under_any_name(client: FlaskClient, path: str, host: str) -> None:
    assert client.get(path, headers={"Host": host}).status_code == 200


def test_a_name_once_asked_for_health_under_is_no_name_for_anything_else(client: FlaskClient) -> None:
    client.get("/health/live", headers={"Host": "evil.example"})
    assert client.get("/things", headers={"Host": "evil.example"}).status_code == 421


def test_a_stranger_cannot_fill_the_memory_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_MOST_REMEMBERED", 3)
    ours = Hosts(Settings())
    for port in range(10):
        ours.check({"HTTP_HOST": f"127.0.0.1:{port}", "PATH_INFO": "/", "REQUEST_METHOD": "GET"})
    with pytest.raises(UnknownHost):
        ours.check({"HTTP_HOST": "evil.example", "PATH_INFO": "/", "REQUEST_METHOD": "GET"})
    assert len(ours._good) == 3


PAGES: list[tuple[dict[str, str], int]] = [
    ({}, 200),  # no browser
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Sec-Fetch-Site": "same-site"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.example"}, 200),
    ({"Origin": "http://10.0.0.5:3001"}, 200),  # the page of the process itself, without encryption
    ({"Origin": "https://shop.example.com"}, 200),
    ({"Origin": "http://localhost:8080"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "http://10.0.0.6:3001"}, 403),
    ({"Origin": "http://10.0.0.5:3002"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": ""}, 403),
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(("headers", "status"), PAGES)
def test_nothing_is_changed_for_the_page_of_another_site(
    client: FlaskClient, method: str, headers: dict[str, str], status: int
) -> None:
    sent = {"Host": "10.0.0.5:3001", **headers}
    answer = client.open("/things/1/cancel", method=method, headers=sent)
    assert answer.status_code == status
    if status == 403:
        assert (answer.mimetype, answer.json["code"]) == ("application/problem+json", "cross_site")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_link_from_another_site_may_lead_to_what_changes_nothing(client: FlaskClient, method: str) -> None:
    answer = client.open(
        "/things", method=method, headers={"Sec-Fetch-Site": "cross-site", "Origin": "http://x.example"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("wrong", ["http://shop.example", "shop.example:443", "a b", "*", "-", "shop/", "ü.example"])
def test_hosts_that_are_no_names_end_the_process(wrong: str) -> None:
    with pytest.raises(SettingsError, match="CONVEYOR_HOSTS must be names of hosts"):
        read({"CONVEYOR_HOSTS": f"good.example,{wrong}"})


def test_hosts_may_be_none() -> None:
    assert names_in("") == names_in(" , ") == set()
    assert read({"CONVEYOR_HOSTS": " , A.example., b_c"}).hosts
    assert names_in("A.example., b_c") == {"a.example", "b_c"}


def test_the_root_says_where_to_go(client: FlaskClient) -> None:
    answer: Any = client.get("/").json
    assert answer == {
        "name": "Conveyor things",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health/ready",
        "things": "/things",
    }
    for path in answer.values():
        assert path == "Conveyor things" or client.get(path).status_code == 200
