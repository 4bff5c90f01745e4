"""Lists of orders and customers over HTTP: filters, sorting, pages."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.paging import write_cursor
from sales import queries, service
from tests.integration.sales.conftest import Shop

BEGIN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def placed(shop: Shop) -> list[dict[str, Any]]:
    """Seven orders of one customer, a minute apart; the third, fourth and fifth at the very same moment."""
    orders = [shop.place() for _ in range(7)]
    minutes = [0, 1, 2, 2, 2, 3, 4]
    with transaction(shop.sessions) as session:
        for order, minute in zip(orders, minutes, strict=True):
            moment = {"id": order["id"], "at": BEGIN + timedelta(minutes=minute)}
            session.execute(text("UPDATE orders SET created_at = :at WHERE id = :id"), moment)
    return orders


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json["items"]]


def listed(shop: Shop, **query: Any) -> list[str]:
    return ids(shop.http.get("/orders", query_string={"customer_id": shop.customer["id"], **query}))


def pages(shop: Shop, **query: Any) -> list[list[str]]:
    """Every page of a list, cursor by cursor."""
    found, cursor = [], None
    while True:
        asked = {"customer_id": shop.customer["id"], "cursor": cursor, **query}
        answer = shop.http.get("/orders", query_string=asked)
        found.append(ids(answer))
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return found


def register(shop: Shop, email: str) -> str:
    """A customer with this address; its id."""
    return str(shop.http.post("/customers", json={"name": "Ada", "email": email, "address": "x"}).json["id"])


class TestLongOrders:
    def test_a_list_shows_the_first_lines_and_how_many_there_are(self, shop: Shop) -> None:
        long, short = (shop.http.post("/orders", json=shop.draft(*range(1, most + 1))).json for most in (1_000, 2))

        answer = shop.http.get("/orders", query_string={"customer_id": shop.customer["id"]})

        [second, first] = answer.json["items"]
        assert [each["quantity"] for each in first["items"]] == list(range(1, 11))
        assert [each["quantity"] for each in second["items"]] == [1, 2]
        assert (
            (first["items_count"], second["items_count"]) == (long["items_count"], short["items_count"]) == (1_000, 2)
        )
        assert len(answer.data) < 5_000
        whole = shop.order(long)
        assert (len(whole["items"]), whole["items_count"]) == (1_000, 1_000)

    def test_a_timeline_has_pages(self, shop: Shop) -> None:
        order = shop.place()
        noted = "INSERT INTO order_events (order_id, kind, number, actor) SELECT :id, 'resumed', n, 'ada' FROM "
        with transaction(shop.sessions) as session:
            session.execute(text(noted + "generate_series(1, 249) AS n"), {"id": order["id"]})

        found, cursor = [], None
        for size in (100, 100, 50):
            page = shop.http.get(f"/orders/{order['id']}/events", query_string={"cursor": cursor}).json
            assert len(page["items"]) == size
            found += [each["number"] for each in page["items"]]
            cursor = page["next_cursor"]
        assert (found, cursor) == ([0, *range(1, 250)], None)
        beyond = write_cursor(2**63 - 1)
        assert shop.http.get(f"/orders/{order['id']}/events?cursor={beyond}").json["items"] == []
        assert shop.http.get(f"/orders/{uuid7()}/events").status_code == 404

    @pytest.mark.parametrize("number", ["-1", str(2**63), "1e3", "x", "1_0"])
    def test_a_cursor_that_no_row_can_have_is_refused(self, shop: Shop, number: str) -> None:
        answer = shop.http.get(f"/orders/{shop.place()['id']}/events?cursor={write_cursor(number)}")
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "cursor")


class TestOrders:
    @pytest.mark.parametrize("sort", ["created_at", "-created_at"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8])
    def test_pages_show_every_order_once_in_its_place_whatever_stands_at_the_edge(
        self, shop: Shop, placed: list[dict[str, Any]], sort: str, limit: int
    ) -> None:
        shown = pages(shop, sort=sort, limit=limit)
        expected = [each["id"] for each in placed]
        assert [each for page in shown for each in page] == (expected[::-1] if sort.startswith("-") else expected)
        assert all(len(page) == limit for page in shown[:-1])

    def test_the_newest_come_first_unless_asked_otherwise(self, shop: Shop, placed: list[dict[str, Any]]) -> None:
        assert listed(shop) == [each["id"] for each in reversed(placed)]

    def test_an_order_that_joins_between_two_pages_hides_and_repeats_none(
        self, shop: Shop, placed: list[dict[str, Any]]
    ) -> None:
        query = {"customer_id": shop.customer["id"], "limit": 4}
        first = shop.http.get("/orders", query_string=query)
        shop.place()
        rest = shop.http.get("/orders", query_string={**query, "cursor": first.json["next_cursor"]})
        assert ids(first) + ids(rest) == [each["id"] for each in reversed(placed)]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"created_after": "2026-11-22T10:02:00Z"}, [2, 3, 4, 5, 6]),
            ({"created_after": "2026-11-22T10:02:00"}, [2, 3, 4, 5, 6]),
            ({"created_after": "2026-11-22T11:02:00+01:00"}, [2, 3, 4, 5, 6]),
            ({"created_before": "2026-11-22T10:02:00Z"}, [0, 1]),
            ({"created_before": "2026-11-22"}, []),
            ({"created_after": "2026-11-22"}, [0, 1, 2, 3, 4, 5, 6]),
            ({"created_after": "2026-11-22T10:01:00Z", "created_before": "2026-11-22T10:03:00Z"}, [1, 2, 3, 4]),
            ({"created_after": "2026-11-22T10:03:00Z", "created_before": "2026-11-22T10:03:00Z"}, []),
            ({"created_after": "0001-01-01T00:00:00+14:00"}, [0, 1, 2, 3, 4, 5, 6]),
            ({"created_before": "9999-12-31T23:59:59-12:00"}, [0, 1, 2, 3, 4, 5, 6]),
        ],
    )
    def test_the_first_moment_is_in_and_the_last_is_out_and_utc_is_meant_where_nothing_is_said(
        self, shop: Shop, placed: list[dict[str, Any]], query: dict[str, str], expected: list[int]
    ) -> None:
        assert listed(shop, sort="created_at", **query) == [placed[each]["id"] for each in expected]

    def test_filters_are_all_kept(self, shop: Shop, placed: list[dict[str, Any]]) -> None:
        shop.respond(placed[1], reason="insufficient_stock")
        shop.respond(placed[5], reason="insufficient_stock")
        assert listed(shop, status="Rejected", sort="created_at") == [placed[1]["id"], placed[5]["id"]]
        assert listed(shop, status="Rejected", created_after=BEGIN + timedelta(minutes=2)) == [placed[5]["id"]]
        assert listed(shop, status="Cancelled") == []
        assert listed(shop, customer_id=str(uuid7())) == []

    def test_those_that_need_attention_are_found(self, shop: Shop, placed: list[dict[str, Any]]) -> None:
        with transaction(shop.sessions) as session:
            session.execute(text("UPDATE orders SET needs_attention = true WHERE id = :id"), {"id": placed[3]["id"]})
        assert listed(shop, needs_attention="true") == [placed[3]["id"]]
        assert len(listed(shop, needs_attention="false")) == 6

    def test_an_order_is_the_same_in_a_list_as_by_itself(self, shop: Shop, placed: list[dict[str, Any]]) -> None:
        [first, *_] = shop.http.get("/orders", query_string={"customer_id": shop.customer["id"]}).json["items"]
        assert first == shop.order(placed[-1])

    def test_a_cursor_of_another_list_is_refused(self, shop: Shop, placed: list[dict[str, Any]]) -> None:
        for _ in range(2):
            register(shop, f"{uuid7().hex}@example.com")
        cursor = shop.http.get("/customers", query_string={"limit": 1}).json["next_cursor"]
        answer = shop.http.get("/orders", query_string={"cursor": cursor})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "cursor")

    @pytest.mark.parametrize("sort", ["created_at", "-created_at"])
    @pytest.mark.parametrize("query", [{}, {"status": "Pending"}, {"needs_attention": "true"}])
    def test_a_page_far_down_the_list_is_found_by_an_index_without_sorting(
        self, shop: Shop, placed: list[dict[str, Any]], sort: str, query: dict[str, str]
    ) -> None:
        seen: list[tuple[str, Any]] = []
        engine = shop.sessions.kw["bind"]

        def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
            seen.append((statement, values))

        cursor = shop.http.get("/orders", query_string={"limit": 1, "sort": sort}).json["next_cursor"]
        event.listen(engine, "before_cursor_execute", note)
        shop.http.get("/orders", query_string={"sort": sort, "cursor": cursor, **query})
        event.remove(engine, "before_cursor_execute", note)

        [(statement, values)] = [each for each in seen if "ORDER BY orders" in each[0]]
        with transaction(shop.sessions) as session:
            # The table is small here; what counts is that the indexes allow for it.
            session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))
            rows = session.connection().exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
        plan = "\n".join(rows)
        assert re.search(r"Index Cond: .*ROW\(created_at, id\)", plan), plan
        assert "Sort" not in plan


class TestCustomers:
    def test_a_customer_is_found_where_the_answer_says(self, shop: Shop) -> None:
        details = {
            "name": "Ada",
            "email": f"{uuid7().hex}@example.com",
            "phone": "+33 1",
            "address": "12 Rue de la Paix",
        }
        answer = shop.http.post("/customers", json=details)
        assert (answer.status_code, answer.json.items() >= details.items()) == (201, True)
        assert shop.http.get(answer.headers["Location"]).json == answer.json

    @pytest.mark.parametrize("phone", [{}, {"phone": None}])
    def test_a_customer_needs_no_phone(self, shop: Shop, phone: dict[str, None]) -> None:
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.com", "address": "12 Rue de la Paix", **phone}
        answer = shop.http.post("/customers", json=details)
        assert (answer.status_code, answer.json["phone"]) == (201, None)

    def test_a_customer_that_is_not_there_is_not_found(self, shop: Shop) -> None:
        answer = shop.http.get(f"/customers/{uuid7()}")
        assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")

    def test_an_address_finds_its_customer_in_any_spelling_and_no_other(self, shop: Shop) -> None:
        email = f"Ada.{uuid7().hex}@Example.com"
        made = register(shop, email)
        for spelling in (email, email.upper(), email.lower()):
            assert ids(shop.http.get("/customers", query_string={"email": spelling})) == [made]
        assert ids(shop.http.get("/customers", query_string={"email": "%"})) == []

    def test_pages_show_every_customer_once_newest_first(self, shop: Shop) -> None:
        made = [register(shop, f"{uuid7().hex}@example.com") for _ in range(3)]
        first = shop.http.get("/customers", query_string={"limit": 2})
        rest = shop.http.get("/customers", query_string={"limit": 1, "cursor": first.json["next_cursor"]})
        assert (ids(first), ids(rest)) == (made[:0:-1], made[:1])


class TestAnAddressOfOneCustomer:
    @pytest.fixture
    def email(self) -> str:
        return f"Ada.{uuid7().hex}@Example.com"

    @pytest.mark.parametrize("spell", [str, str.upper, str.lower])
    def test_is_refused_to_another_by_the_name_of_its_field(
        self, shop: Shop, email: str, spell: Callable[[str], str]
    ) -> None:
        made, again = register(shop, email), spell(email)
        for _ in range(2):
            answer = shop.http.post("/customers", json={"name": "Bob", "email": again, "address": "y"})
            assert (answer.status_code, answer.json["code"]) == (409, "email_taken")
            assert again in answer.json["detail"]
            assert answer.json["errors"] == [{"field": "email", "message": "belongs to another customer"}]
        assert ids(shop.http.get("/customers", query_string={"email": email})) == [made]

    def test_is_answered_to_a_copy_of_the_request_that_registered_it(self, shop: Shop, email: str) -> None:
        body, key = {"name": "Ada", "email": email, "address": "x"}, {"Idempotency-Key": uuid7().hex}
        first, copy = (shop.http.post("/customers", json=body, headers=key) for _ in range(2))
        assert (first.status_code, copy.status_code, copy.json) == (201, 201, first.json)
        assert copy.headers["Idempotent-Replayed"] == "true"
        other = shop.http.post("/customers", json=body, headers={"Idempotency-Key": uuid7().hex})
        assert (other.status_code, other.json["code"]) == (409, "email_taken")

    @pytest.mark.parametrize("keyed", [True, False])
    def test_is_one_customers_however_many_ask_for_it_at_once(self, shop: Shop, email: str, keyed: bool) -> None:
        assert sorted(at_once(shop, email, keyed)) == [201] * (20 if keyed else 1) + [409] * (0 if keyed else 19)
        assert len(shop.rows("SELECT FROM customers WHERE lower(email) = lower(:email)", email=email)) == 1

    def test_control_without_its_table_several_have_it(
        self, shop: Shop, email: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "_own_email", lambda _session, _customer: None)
        at_once(shop, email, keyed=False)
        assert len(shop.rows("SELECT FROM customers WHERE lower(email) = lower(:email)", email=email)) == 20

    def test_that_the_release_before_has_registered_beside_this_one_is_taken_too(self, shop: Shop, email: str) -> None:
        made = [registered_by_the_release_before(shop, each) for each in (email, email.lower())]
        answer = shop.http.post("/customers", json={"name": "Bob", "email": email.upper(), "address": "y"})
        assert (answer.status_code, answer.json["code"]) == (409, "email_taken")
        assert ids(shop.http.get("/customers", query_string={"email": email})) == made[::-1]

    def test_finds_its_owner_alone_and_the_doubles_of_the_release_before_are_listed(
        self, shop: Shop, email: str
    ) -> None:
        owner = register(shop, email)
        double = registered_by_the_release_before(shop, email.lower())
        assert ids(shop.http.get("/customers", query_string={"email": email})) == [owner]
        assert shop.http.get(f"/customers/{double}").json["email"] == email.lower()
        with transaction(shop.sessions) as session:
            assert [UUID(owner), UUID(double)] in queries.doubles(session)


def at_once(shop: Shop, email: str, keyed: bool) -> list[int]:
    """The answers to twenty requests that register this address at the same moment, with one key or without."""
    together, body = threading.Barrier(20), {"name": "Ada", "email": email, "address": "x"}
    key = {"Idempotency-Key": uuid7().hex} if keyed else {}

    def ask(_number: int) -> int:
        client = shop.http.application.test_client()
        together.wait(30)
        return client.post("/customers", json=body, headers=key).status_code

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(ask, range(20), timeout=60))


def registered_by_the_release_before(shop: Shop, email: str) -> str:
    """A customer that a process of the release before has put into the table, which knows of no owner."""
    [row] = shop.rows(
        "INSERT INTO customers (id, name, email, address) VALUES (:id, 'Ada', :email, 'x') RETURNING id",
        id=uuid7(),
        email=email,
    )
    return str(row.id)
