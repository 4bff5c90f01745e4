"""As many orders are under way as there may be: new ones are refused, everything else is answered."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import backlog
from sales.backlog import Backlog
from tests.integration.sales.conftest import Sessions, Shop, about


@pytest.fixture
def narrow(sales_sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop for three orders at once, which counts them each time."""
    with transaction(sales_sessions) as session:
        session.execute(text("DELETE FROM order_sagas"))
    monkeypatch.setattr(backlog, "FRESH_FOR", 0.0)
    sales_sessions.kw["info"]["backlog"] = Backlog(3)
    yield Shop(sales_sessions)
    del sales_sessions.kw["info"]["backlog"]


def test_an_order_too_many_is_refused_until_one_has_ended(narrow: Shop) -> None:
    first, *_ = [narrow.place() for _ in range(3)]
    refused = narrow.http.post("/orders", json=narrow.draft())
    assert (refused.status_code, refused.json["code"]) == (503, "too_many_open_orders")
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.mimetype == "application/problem+json"
    narrow.respond(first)
    narrow.hear(about(first, "place", delivery=("PENDING", 1)))
    assert narrow.http.post("/orders", json=narrow.draft()).status_code == 201


def test_a_replay_a_cancel_and_a_look_are_answered_all_the_same(narrow: Shop) -> None:
    key, other = {"Idempotency-Key": uuid7().hex}, {"Idempotency-Key": uuid7().hex}
    draft = narrow.draft()
    order = narrow.http.post("/orders", json=draft, headers=key).json
    narrow.place()
    narrow.place()
    replay = narrow.http.post("/orders", json=draft, headers=key)
    assert (replay.status_code, replay.json["id"]) == (201, order["id"])
    assert replay.headers["Idempotent-Replayed"] == "true"
    assert narrow.http.post("/orders", json=narrow.draft(5), headers=key).status_code == 422
    assert narrow.http.post("/orders", json=draft, headers=other).status_code == 503
    assert narrow.http.get(f"/orders/{order['id']}").status_code == 200
    assert narrow.http.post(f"/orders/{order['id']}/cancel").status_code == 202
    # The key of the one that was refused is free.
    narrow.hear(about(order, "cancel", 1))
    assert narrow.http.post("/orders", json=draft, headers=other).status_code == 201


def test_orders_are_counted_once_a_second_and_not_for_each_request(
    narrow: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "FRESH_FOR", 60.0)
    counts = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        counts.extend(["count"] * ("AS under_way" in statement))

    engine = narrow.sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    for _ in range(5):
        narrow.place()
    event.remove(engine, "before_cursor_execute", note)
    assert len(counts) == 1
