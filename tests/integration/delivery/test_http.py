"""Couriers and clerks over HTTP."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import scans, service
from delivery.errors import DeliveryNotFound
from delivery.messages import CancelDelivery, CreateDelivery
from delivery.scans import Report, Scan
from delivery.status import DeliveryStatus
from tests.integration.delivery.door import dispatch, news_of, report, serial_of

Sessions = sessionmaker[Session]


class TestDispatch:
    def test_a_dispatched_order_is_answered_with_its_delivery_and_where_to_find_it(self, client: FlaskClient) -> None:
        order_id = str(uuid7())

        answer = client.post("/deliveries", json={"order_id": order_id, "address": "12 rue de la Paix"})

        assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"')
        assert answer.json["status"] == "PENDING"
        for path in (answer.headers["Location"], f"/deliveries/order/{order_id}"):
            found = client.get(path)
            assert (found.status_code, found.json, found.headers["ETag"]) == (200, answer.json, '"1"')

    def test_times_are_utc(self, delivery: dict[str, Any]) -> None:
        times = [delivery["created_at"], delivery["updated_at"], delivery["log"][0]["timestamp"]]
        assert all(each.endswith("+00:00") for each in times), times

    def test_a_second_dispatch_of_an_order_is_refused_with_the_id_of_the_first(
        self, client: FlaskClient, delivery: dict[str, Any]
    ) -> None:
        answer = client.post("/deliveries", json={"order_id": delivery["order_id"], "address": "elsewhere"})

        assert (answer.status_code, answer.json["code"]) == (409, "delivery_exists")
        assert answer.json["delivery_id"] == delivery["id"]

    def test_an_order_that_was_cancelled_first_is_not_dispatched(
        self, client: FlaskClient, delivery_sessions: Sessions
    ) -> None:
        order_id = uuid7()
        with transaction(delivery_sessions) as session:
            service.cancel_delivery(session, [CancelDelivery(order_id=order_id, no=1)])

        answer = client.post("/deliveries", json={"order_id": str(order_id), "address": "12 rue de la Paix"})

        assert (answer.status_code, answer.json["code"]) == (409, "delivery_cancelled")
        assert client.get(f"/deliveries/order/{order_id}").json["address"] is None

    def test_the_saga_takes_a_delivery_that_was_dispatched_by_hand(
        self, client: FlaskClient, delivery_sessions: Sessions
    ) -> None:
        order_id = uuid7()
        before = dispatch(client, order_id)

        with transaction(delivery_sessions) as session:
            [answer] = service.create_delivery(session, [CreateDelivery(order_id=order_id, address="elsewhere")])

        assert (answer.outcome, answer.delivery_status, answer.delivery_version) == ("ok", "PENDING", 1)
        assert client.get(f"/deliveries/{before['id']}").json == before

    def test_of_a_long_log_the_newest_entries_are_shown(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        noted = "INSERT INTO delivery_logs (delivery_id, status, notes) SELECT id, 'FAILED', n FROM deliveries, "
        with transaction(delivery_sessions) as session:
            session.execute(text(noted + "generate_series(1, 250) AS n WHERE public_id = :id"), {"id": delivery["id"]})
        shown = client.get(f"/deliveries/{delivery['id']}").json["log"]
        assert [each["notes"] for each in shown] == [str(each) for each in range(151, 251)]

    def test_a_delivery_is_shown_with_a_uuid_and_found_by_that_and_by_its_serial(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        serial = serial_of(delivery_sessions, delivery)

        assert UUID(delivery["id"]).version == 7
        assert str(serial) not in {str(each) for each in delivery.values()}
        for name in (delivery["id"], delivery["id"].upper(), serial):
            assert client.get(f"/deliveries/{name}").json == delivery, name
        for name in (f"0{serial}", f"+{serial}", "%D9%A1", "%EF%BC%91", "1_0", "9" * 19, "9" * 5_000):
            assert client.get(f"/deliveries/{name}").status_code == 404, name

    def test_what_a_worker_of_the_release_before_inserts_is_shown_with_a_uuid_too(
        self, client: FlaskClient, delivery_sessions: Sessions
    ) -> None:
        order_id = uuid7()
        with transaction(delivery_sessions) as session:
            session.execute(
                text("INSERT INTO deliveries (order_id, address, status) VALUES (:order_id, 'Lyon', 'PENDING')"),
                {"order_id": order_id},
            )

        found = client.get(f"/deliveries/order/{order_id}").json

        assert client.get(f"/deliveries/{UUID(found['id'])}").json == found

    @pytest.mark.parametrize(
        "path",
        [
            "/deliveries/0",
            "/deliveries/0192f0c1-0000-7000-8000-000000000000",
            "/deliveries/order/0192f0c1-0000-7000-8000-000000000000",
        ],
    )
    def test_a_delivery_that_is_not_there_is_not_found(self, client: FlaskClient, path: str) -> None:
        answer = client.get(path)

        assert (answer.status_code, answer.json["code"]) == (404, "delivery_not_found")


@pytest.fixture
def three_failed(client: FlaskClient, delivery_sessions: Sessions) -> Iterator[list[dict[str, Any]]]:
    """Three deliveries that have failed, oldest first, of a day that no other test uses."""
    made = [dispatch(client) for _ in range(3)]
    with transaction(delivery_sessions) as session:
        for hour, each in enumerate(made):
            session.execute(
                text("UPDATE deliveries SET status = 'FAILED', created_at = :at WHERE public_id = :id"),
                {"at": datetime(1999, 5, 1, hour, tzinfo=UTC), "id": each["id"]},
            )
    yield [client.get(f"/deliveries/{each['id']}").json for each in made]
    with transaction(delivery_sessions) as session:
        session.execute(text("UPDATE deliveries SET created_at = now() WHERE created_at < '2000-01-01'"))


class TestList:
    DAY = "created_after=1999-05-01T00:00:00Z&created_before=1999-05-02T00:00:00Z"

    def test_deliveries_are_listed_without_their_logs_newest_first(
        self, client: FlaskClient, three_failed: list[dict[str, Any]]
    ) -> None:
        listed = client.get(f"/deliveries?{self.DAY}").json

        summaries = [{name: value for name, value in each.items() if name != "log"} for each in three_failed]
        assert listed == {"items": summaries[::-1], "next_cursor": None}
        assert client.get(f"/deliveries?{self.DAY}&sort=created_at").json["items"] == summaries

    @pytest.mark.parametrize(
        ("filters", "hours"),
        [
            (DAY, [0, 1, 2]),
            (f"{DAY}&status=FAILED", [0, 1, 2]),
            (f"{DAY}&status=PENDING", []),
            ("created_after=1999-05-01T01:00:00Z&created_before=1999-05-02T00:00:00Z", [1, 2]),
            ("created_after=1999-05-01T00:00:00Z&created_before=1999-05-01T01:00:00Z", [0]),
            ("created_after=1999-05-01T03:00:00%2B02:00&created_before=1999-05-01T02:00:00", [1]),
        ],
    )
    def test_a_filter_leaves_out_what_is_not_asked_for(
        self, client: FlaskClient, three_failed: list[dict[str, Any]], filters: str, hours: list[int]
    ) -> None:
        listed = client.get(f"/deliveries?sort=created_at&{filters}").json["items"]

        assert [each["id"] for each in listed] == [three_failed[hour]["id"] for hour in hours]

    @pytest.mark.parametrize("sort", ["created_at", "-created_at"])
    def test_pages_follow_each_other_without_gap_or_repetition(
        self, client: FlaskClient, three_failed: list[dict[str, Any]], delivery_sessions: Sessions, sort: str
    ) -> None:
        with transaction(delivery_sessions) as session:  # of one moment: only the id tells them apart
            session.execute(
                text("UPDATE deliveries SET created_at = '1999-05-01' WHERE public_id = ANY(CAST(:ids AS uuid[]))"),
                {"ids": [each["id"] for each in three_failed]},
            )
        seen, cursor = [], ""
        while cursor is not None:
            page = client.get(f"/deliveries?{self.DAY}&sort={sort}&limit=1{cursor}").json
            seen += [each["id"] for each in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"

        ids = sorted(each["id"] for each in three_failed)
        assert seen == (ids if sort == "created_at" else ids[::-1])

    def test_a_cursor_shows_no_serial(
        self, client: FlaskClient, three_failed: list[dict[str, Any]], delivery_sessions: Sessions
    ) -> None:
        cursor = client.get(f"/deliveries?{self.DAY}&limit=1").json["next_cursor"]

        held = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))

        assert held == ["1999-05-01T02:00:00+00:00", three_failed[2]["id"]]


class TestReport:
    def test_a_report_may_name_the_delivery_by_its_serial(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        answer = report(client, {"id": serial_of(delivery_sessions, delivery)}, "IN_TRANSIT")

        assert (answer.status_code, answer.json["id"], answer.json["version"]) == (200, delivery["id"], 2)

    def test_reports_of_one_moment_may_name_the_same_delivery_in_both_ways(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        public_id, serial = UUID(delivery["id"]), serial_of(delivery_sessions, delivery)
        reports = [
            Report(serial, Scan(DeliveryStatus.IN_TRANSIT), "c-1"),
            Report(public_id, Scan(DeliveryStatus.DELIVERED), "c-2"),
            Report(0, Scan(DeliveryStatus.DELIVERED), "c-3"),
        ]

        with transaction(delivery_sessions) as session:
            first, second, nobody = scans.follow_couriers(session, reports, wait=False)

        assert isinstance(nobody, DeliveryNotFound)
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        assert (first["log"], first["version"]) == (second["log"], second["version"])
        shown = client.get(f"/deliveries/{public_id}").json
        assert [each["status"] for each in shown["log"]] == ["PENDING", "IN_TRANSIT", "DELIVERED"]
        told = [row.bundle[0]["delivery_version"] for row in news_of(delivery_sessions, delivery)]
        assert (told, shown["version"]) == ([2], 3)

    def test_a_report_moves_the_delivery_and_tells_sales_in_the_same_commit(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        answer = report(
            client, delivery, "IN_TRANSIT", {"X-Request-ID": "courier-7"}, location="Hub Lyon-Est", notes="night run"
        )

        assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
        assert (answer.json["status"], answer.json["version"]) == ("IN_TRANSIT", 2)
        last = answer.json["log"][-1]
        assert (last["status"], last["location"], last["notes"]) == ("IN_TRANSIT", "Hub Lyon-Est", "night run")
        [row] = news_of(delivery_sessions, delivery)
        assert (row.task, row.links, row.alone) == ("sales.update_order_status", [], False)
        assert row.bundle == [
            {
                "order_id": delivery["order_id"],
                "kind": "delivery",
                "no": 2,
                "correlation_id": "courier-7",
                "delivery_status": "IN_TRANSIT",
                "delivery_version": 2,
            }
        ]

    def test_a_failed_delivery_goes_out_again(self, client: FlaskClient, delivery: dict[str, Any]) -> None:
        answers = [report(client, delivery, each) for each in ("IN_TRANSIT", "FAILED", "IN_TRANSIT", "DELIVERED")]

        assert [each.json["version"] for each in answers] == [2, 3, 4, 5]

    def test_a_delivery_is_not_cancelled_here_but_with_its_order(
        self, client: FlaskClient, delivery: dict[str, Any]
    ) -> None:
        answer = report(client, delivery, "CANCELLED")

        assert (answer.status_code, answer.json["code"]) == (409, "cancel_the_order")
        assert answer.json["order_id"] == delivery["order_id"]
        assert client.get(f"/deliveries/{delivery['id']}").json == delivery

    @pytest.mark.parametrize(("if_match", "status"), [('"1"', 200), ("*", 200), ('"2"', 412), ("1", 412)])
    def test_a_report_for_another_version_is_stale(
        self, client: FlaskClient, delivery: dict[str, Any], if_match: str, status: int
    ) -> None:
        answer = report(client, delivery, "IN_TRANSIT", {"If-Match": if_match})

        assert answer.status_code == status
        assert client.get(f"/deliveries/{delivery['id']}").json["version"] == (2 if status == 200 else 1)

    def test_a_report_about_no_delivery_is_not_found(self, client: FlaskClient) -> None:
        answer = report(client, {"id": 0}, "IN_TRANSIT")

        assert (answer.status_code, answer.json["code"]) == (404, "delivery_not_found")

    def test_a_move_whose_message_cannot_be_written_is_not_made(
        self,
        client: FlaskClient,
        delivery: dict[str, Any],
        delivery_sessions: Sessions,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(*_args: Any) -> int:
            raise OSError("disk on fire")

        monkeypatch.setattr(scans, "enqueue", broken)

        answer = report(client, delivery, "IN_TRANSIT")

        assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
        assert client.get(f"/deliveries/{delivery['id']}").json == delivery
        assert news_of(delivery_sessions, delivery) == []
