"""As many orders are under way as there may be: new ones are refused, everything else is answered."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.idempotency import RequestKey
from sales import backlog
from sales.backlog import Backlog
from sales.errors import TooManyOpenOrders
from sales.placing import Draft, Placed, place_orders
from tests.integration.pipeline.processes import wait_until
from tests.integration.sales.conftest import Sessions, Shop, about


@pytest.fixture
def narrow(sales_sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop for three orders at once, which counts them each time."""
    with transaction(sales_sessions) as session:
        session.execute(text("DELETE FROM order_sagas"))
    for each in ("FRESH_FOR", "FULL_FOR", "FULL_TIMES"):
        monkeypatch.setattr(backlog, each, 0)
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


@contextmanager
def counting(shop: Shop) -> Iterator[list[str]]:
    """Notes each time that the orders under way are counted."""
    counts: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        counts.extend(["count"] * ("AS under_way" in statement))

    engine = shop.sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield counts
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_orders_are_counted_once_for_a_hundredth_of_the_limit_and_not_for_each_request(
    narrow: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "FRESH_FOR", 60.0)
    narrow.sessions.kw["info"]["backlog"] = Backlog(500)
    with counting(narrow) as counts:
        for _ in range(6):  # the one that counts, and five that use what it left
            narrow.place()
        assert len(counts) == 1
        narrow.place()
    assert len(counts) == 2


def test_orders_are_counted_again_after_a_second(narrow: Shop) -> None:
    narrow.sessions.kw["info"]["backlog"] = Backlog(500)
    with counting(narrow) as counts:
        narrow.place()
        narrow.place()
    assert len(counts) == 2


def test_nothing_is_counted_for_a_moment_while_there_is_no_room(narrow: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "FULL_FOR", 60.0)
    for _ in range(3):
        narrow.place()
    with counting(narrow) as counts:
        assert [narrow.http.post("/orders", json=narrow.draft()).status_code for _ in range(3)] == [503] * 3
    assert counts == []


def test_of_many_orders_at_once_as_many_are_taken_as_there_is_room_for(
    narrow: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each, usual in (("FRESH_FOR", 1.0), ("FULL_FOR", 0.05), ("FULL_TIMES", 20)):
        monkeypatch.setattr(backlog, each, usual)
    narrow.sessions.kw["info"]["backlog"] = Backlog(10)
    app, together = narrow.http.application, threading.Barrier(32)

    def post(number: int) -> list[int]:
        client = app.test_client()
        together.wait(20)
        keys = [{"Idempotency-Key": uuid7().hex} if number % 2 else {} for _ in range(5)]
        return [client.post("/orders", json=draft, headers=key).status_code for key in keys]

    draft = narrow.draft()
    with ThreadPoolExecutor(32) as pool:
        statuses = [status for several in pool.map(post, range(32)) for status in several]
    assert Counter(statuses) == {201: 10, 503: 150}
    with transaction(narrow.sessions) as session:
        assert session.execute(text("SELECT count(*) FROM order_sagas WHERE deadline IS NOT NULL")).scalar_one() == 10


def test_a_group_for_whom_there_is_no_room_has_its_replays_answered_and_its_first_orders_taken(narrow: Shop) -> None:
    def draft(key: RequestKey | None) -> Draft:
        return Draft({"customer_id": UUID(body["customer_id"]), "items": items}, key, "test")

    body = narrow.draft()
    items = [{**line, "product_id": UUID(line["product_id"])} for line in body["items"]]
    old, new = RequestKey("public", uuid7().hex, "d"), RequestKey("public", uuid7().hex, "d")
    with transaction(narrow.sessions) as session:
        [before] = place_orders(session, [draft(old)], wait=False)
    assert isinstance(before, Placed)
    with transaction(narrow.sessions) as session:
        group = [draft(None), draft(old), draft(new), draft(None), draft(new)]
        outcomes = place_orders(session, group, wait=False)
    assert [type(each) for each in outcomes] == [Placed, Placed, Placed, TooManyOpenOrders, Placed]
    assert outcomes[1].order["id"] == before.order["id"]
    assert outcomes[2].order["id"] == outcomes[4].order["id"]


@pytest.fixture
def processes(narrow: Shop) -> list[Sessions]:
    """What two web processes work with: each has a count of its own, of ten orders at most."""
    engine = narrow.sessions.kw["bind"]
    return [sessionmaker(engine, info={"backlog": Backlog(10), "relay": "127.0.0.1:9"}) for _ in range(2)]


def place_eight(shop: Shop, session: Session, *, wait: bool) -> int:
    """How many of eight orders are taken."""
    draft = shop.draft()
    items = [{**line, "product_id": UUID(line["product_id"])} for line in draft["items"]]
    drafts = [Draft({"customer_id": UUID(draft["customer_id"]), "items": items}, None, "test")] * 8
    return sum(isinstance(each, Placed) for each in place_orders(session, drafts, wait=wait))


def test_several_processes_with_a_small_limit_do_not_go_beyond_it(narrow: Shop, processes: list[Sessions]) -> None:
    """The second counts only once the first, which has taken room, has stored its orders."""

    def place() -> int:
        with transaction(processes[1]) as session:
            return place_eight(narrow, session, wait=False)

    with ThreadPoolExecutor(1) as pool:
        with transaction(processes[0]) as session:
            assert place_eight(narrow, session, wait=False) == 8
            other = pool.submit(place)
            wait_until(lambda: waiting_in_turn(narrow) or other.done())
        assert other.result(20) == 2
    assert under_way(narrow) == 10


def test_nobody_is_counted_behind_a_request_that_waits_for_a_customer(narrow: Shop, processes: list[Sessions]) -> None:
    with transaction(processes[0]) as waiting, transaction(processes[1]) as session:
        assert place_eight(narrow, waiting, wait=True) == 8
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        assert place_eight(narrow, session, wait=False) == 8


def waiting_in_turn(shop: Shop) -> bool:
    with transaction(shop.sessions) as session:
        return bool(session.execute(text("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).all())


def under_way(shop: Shop) -> int:
    with transaction(shop.sessions) as session:
        counted = "SELECT count(*) FROM order_sagas WHERE deadline IS NOT NULL"
        return int(session.execute(text(counted)).scalar_one())
