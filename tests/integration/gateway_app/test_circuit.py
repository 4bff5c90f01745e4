"""What clients see of an open circuit, and what they do not lose by it."""

from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

ORDER = {"customer_id": str(uuid4()), "items": []}


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def open_the_circuit(client: FlaskClient, sales: Any) -> None:
    sales.stop()
    codes = [client.get("/orders").json["code"] for _ in range(7)]
    assert codes == ["upstream_down"] * 5 + ["upstream_circuit_open"] * 2


def test_an_open_circuit_has_a_code_of_its_own_and_says_that_nothing_was_done(client: FlaskClient, sales: Any) -> None:
    open_the_circuit(client, sales)
    answer = client.post("/orders", json=ORDER)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert (answer.json["code"], answer.json["may_have_been_executed"]) == ("upstream_circuit_open", False)
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert client.get("/products").status_code == 200


def test_what_was_answered_before_is_answered_again_while_the_circuit_is_open(
    client: FlaskClient, sales: Any, key: dict[str, str]
) -> None:
    first = client.post("/orders", json=ORDER, headers=key)
    open_the_circuit(client, sales)
    again = client.post("/orders", json=ORDER, headers=key)
    assert (again.status_code, again.json) == (201, first.json)


def test_a_key_that_met_an_open_circuit_is_free_for_the_next_try(
    client: FlaskClient, sales: Any, key: dict[str, str], until: Any
) -> None:
    open_the_circuit(client, sales)
    for _ in range(2):
        assert client.post("/orders", json=ORDER, headers=key).json["code"] == "upstream_circuit_open"
    sales.start()
    until(lambda: client.get("/orders").status_code == 200)
    assert client.post("/orders", json=ORDER, headers=key).status_code == 201


def test_refusals_and_a_service_whose_database_is_away_do_not_open_it(client: FlaskClient, sales: Any) -> None:
    problem = {"Content-Type": "application/problem+json"}
    for status in (404, 409, 503):
        sales.answers["/orders"] = (status, problem, b"{}")
        assert {client.get("/orders").status_code for _ in range(10)} == {status}
