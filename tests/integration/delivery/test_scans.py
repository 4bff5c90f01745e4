"""Scans of couriers over HTTP: each is kept once, and the latest decides, in whatever order they arrive."""

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from delivery import service
from delivery.messages import CancelDelivery, UpdateDelivery
from delivery.status import DeliveryStatus
from tests.integration.delivery.door import news_of, report, serial_of

Sessions = sessionmaker[Session]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(hours: float) -> str:
    """So many hours after noon of a day that has passed."""
    return (NOON + timedelta(hours=hours)).isoformat()


def ahead(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


def log_of(client: FlaskClient, delivery: dict[str, Any]) -> list[Any]:
    """The statuses and places of its log behind the dispatch."""
    shown = client.get(f"/deliveries/{delivery['id']}").json["log"]
    return [(each["status"], each["location"]) for each in shown[1:]]


def move(sessions: Sessions, delivery: dict[str, Any], to: Any, version: int) -> Any:
    """An operator's move."""
    asked = UpdateDelivery(order_id=UUID(delivery["order_id"]), to_status=to, expected_version=version)
    with transaction(sessions) as session:
        [answer] = service.update_delivery(session, [asked])
    return answer


def cancel(sessions: Sessions, delivery: dict[str, Any], no: int = 1) -> None:
    with transaction(sessions) as session:
        service.cancel_delivery(session, [CancelDelivery(order_id=UUID(delivery["order_id"]), no=no)])


class TestStatus:
    @pytest.mark.parametrize("status", ["IN_TRANSIT", "DELIVERED", "FAILED"])
    def test_any_scan_may_be_a_parcels_first(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions, status: str
    ) -> None:
        answer = report(client, delivery, status, occurred_at=at(0))

        assert (answer.status_code, answer.json["status"], answer.json["version"]) == (200, status, 2)
        [row] = news_of(delivery_sessions, delivery)
        assert (row.bundle[0]["delivery_status"], row.bundle[0]["delivery_version"]) == (status, 2)

    def test_delivered_stays_whatever_comes_or_came_later(self, client: FlaskClient, delivery: dict[str, Any]) -> None:
        said = [("IN_TRANSIT", 5), ("DELIVERED", 1), ("IN_TRANSIT", 0), ("FAILED", 6), ("IN_TRANSIT", 7)]
        answers = [report(client, delivery, status, occurred_at=at(hours)) for status, hours in said]

        assert [each.status_code for each in answers] == [200] * 5
        assert [(each.json["status"], each.json["version"]) for each in answers[1:]] == [("DELIVERED", 3)] * 4
        assert [status for status, _ in log_of(client, delivery)] == [status for status, _ in said]

    @pytest.mark.parametrize("first", ["IN_TRANSIT", "FAILED"])
    @pytest.mark.parametrize(("hours", "wins"), [(1, True), (-1, False), (0, None)])
    def test_the_latest_decides_and_of_two_of_one_time_failed(
        self, client: FlaskClient, delivery: dict[str, Any], first: str, hours: float, wins: bool | None
    ) -> None:
        second = "FAILED" if first == "IN_TRANSIT" else "IN_TRANSIT"
        report(client, delivery, first, occurred_at=at(0))

        answer = report(client, delivery, second, occurred_at=at(hours))

        expected = "FAILED" if wins is None else second if wins else first
        assert (answer.status_code, answer.json["status"]) == (200, expected)
        assert answer.json["version"] == (2 if expected == first else 3)

    def test_a_failed_parcel_is_on_its_way_again_by_a_later_scan(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        for hours, status in enumerate(("IN_TRANSIT", "FAILED", "IN_TRANSIT")):
            answer = report(client, delivery, status, occurred_at=at(hours))

        assert (answer.json["status"], answer.json["version"]) == ("IN_TRANSIT", 4)
        told = [row.bundle[0]["delivery_status"] for row in news_of(delivery_sessions, delivery)]
        assert told == ["IN_TRANSIT", "FAILED", "IN_TRANSIT"]

    def test_a_time_of_up_to_five_minutes_ahead_is_the_scans_own(
        self, client: FlaskClient, delivery: dict[str, Any]
    ) -> None:
        soon = ahead(minutes=4)
        first = report(client, delivery, "IN_TRANSIT", occurred_at=soon)

        assert report(client, delivery, "FAILED").json["status"] == "IN_TRANSIT", "it failed before that"
        assert datetime.fromisoformat(first.json["scan"]["occurred_at"]) == datetime.fromisoformat(soon)

    @pytest.mark.parametrize("told", [{}, {"occurred_at": None}, {"occurred_at": "9999-12-31T23:59:59-12:00"},
                                      {"occurred_at": ahead(hours=1)}])  # fmt: skip
    def test_without_a_time_or_with_one_further_ahead_it_is_the_moment_of_receipt(
        self, client: FlaskClient, delivery: dict[str, Any], told: dict[str, Any]
    ) -> None:
        first = report(client, delivery, "IN_TRANSIT", **told).json["scan"]

        assert first["occurred_at"] == first["timestamp"]
        assert report(client, delivery, "FAILED", occurred_at=at(0)).json["status"] == "IN_TRANSIT"
        assert report(client, delivery, "FAILED").json["status"] == "FAILED"

    def test_a_time_without_an_offset_is_utc(self, client: FlaskClient, delivery: dict[str, Any]) -> None:
        times = ["2026-03-02T12:00:00", "2026-03-02T13:00:00+01:00", "2026-03-02T12:00:00Z"]
        answers = [report(client, delivery, "IN_TRANSIT", location=each, occurred_at=each) for each in times]

        assert {each.json["scan"]["occurred_at"] for each in answers} == {NOON.isoformat()}

    def test_after_the_clock_was_set_back_a_scan_decides_all_the_same(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        report(client, delivery, "FAILED")
        with transaction(delivery_sessions) as session:
            session.execute(
                text(
                    "UPDATE delivery_logs SET \"timestamp\" = now() + interval '1 hour', occurred_at = NULL"
                    " WHERE delivery_id = (SELECT id FROM deliveries WHERE public_id = :id)"
                ),
                {"id": delivery["id"]},
            )

        assert report(client, delivery, "IN_TRANSIT", occurred_at=at(0)).json["status"] == "FAILED"
        assert report(client, delivery, "IN_TRANSIT").json["status"] == "IN_TRANSIT"

    def test_a_parcel_is_pending_only_before_its_first_scan(
        self, client: FlaskClient, delivery: dict[str, Any]
    ) -> None:
        answers = [report(client, delivery, each) for each in ("PENDING", "IN_TRANSIT", "PENDING")]

        assert [each.status_code for each in answers] == [409, 200, 409]
        assert (answers[2].json["code"], answers[2].json["from"]) == ("illegal_transition", "IN_TRANSIT")
        assert answers[2].json["allowed"] == ["IN_TRANSIT", "DELIVERED", "FAILED"]
        assert log_of(client, delivery) == [("IN_TRANSIT", None)]


class TestKept:
    def test_every_scan_is_in_the_log_with_its_place_and_its_time_and_raises_no_version_of_its_own(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        answers = [
            report(
                client, delivery, "IN_TRANSIT", location=f"Hub {hub}", notes=hub, occurred_at=at(hours), event_id=hub
            )
            for hours, hub in enumerate("ABC")
        ]

        assert [each.json["version"] for each in answers] == [2, 2, 2]
        assert [each.headers["ETag"] for each in answers] == ['"2"'] * 3
        log = client.get(f"/deliveries/{delivery['id']}").json["log"]
        shown = [(each["location"], each["occurred_at"], each["notes"], each["event_id"]) for each in log[1:]]
        assert shown == [(f"Hub {hub}", at(hours), hub, hub) for hours, hub in enumerate("ABC")]
        assert [each.json["scan"] for each in answers] == log[1:]
        assert answers[-1].json["log"] == log
        assert len(news_of(delivery_sessions, delivery)) == 1

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({"event_id": "e-1"}, {"event_id": "e-1"}),
            ({"event_id": "e-1", "occurred_at": at(0)}, {"event_id": "e-1", "occurred_at": at(1), "location": "Lyon"}),
            ({"occurred_at": at(0)}, {"occurred_at": at(0)}),
            ({"occurred_at": at(0), "location": "Lyon"}, {"occurred_at": at(0), "location": "Lyon", "notes": "again"}),
            ({"occurred_at": at(0), "event_id": "e-1"}, {"occurred_at": at(0), "event_id": "e-2"}),
            ({"occurred_at": "2026-03-02T13:00:00+01:00"}, {"occurred_at": "2026-03-02T12:00:00Z"}),
            ({"occurred_at": "9998-01-01T00:00:00Z"}, {"occurred_at": "9998-01-01T00:00:00Z"}),
        ],
    )
    def test_one_that_comes_again_is_kept_once_and_answered_as_the_first_was(
        self, client: FlaskClient, delivery: dict[str, Any], first: dict[str, Any], again: dict[str, Any]
    ) -> None:
        kept = report(client, delivery, "IN_TRANSIT", **first)

        answer = report(client, delivery, "IN_TRANSIT", {"If-Match": '"1"'}, **again)

        assert (answer.status_code, answer.json) == (200, kept.json)
        assert (kept.headers.get("Idempotent-Replayed"), answer.headers["Idempotent-Replayed"]) == (None, "true")
        assert len(log_of(client, delivery)) == 1

    @pytest.mark.parametrize(
        ("first", "other"),
        [
            ({}, {}),
            ({"location": "Lyon"}, {"location": "Lyon"}),
            ({"occurred_at": at(0)}, {}),
            ({}, {"occurred_at": at(0)}),
            ({"event_id": "e-1"}, {"event_id": "e-2"}),
            ({"event_id": "e-1"}, {}),
            ({"occurred_at": at(0)}, {"occurred_at": at(0), "location": "Lyon"}),
            ({"occurred_at": at(0)}, {"occurred_at": at(0.001)}),
        ],
    )
    def test_another_scan_is_kept_beside_the_first(
        self, client: FlaskClient, delivery: dict[str, Any], first: dict[str, Any], other: dict[str, Any]
    ) -> None:
        for each in (first, other):
            assert "Idempotent-Replayed" not in report(client, delivery, "IN_TRANSIT", **each).headers
        assert len(log_of(client, delivery)) == 2

    def test_the_same_scan_of_another_parcel_is_another(
        self, client: FlaskClient, delivery: dict[str, Any], another: dict[str, Any]
    ) -> None:
        for each in (delivery, another):
            report(client, each, "IN_TRANSIT", occurred_at=at(0), event_id="e-1")
        assert log_of(client, delivery) == log_of(client, another) == [("IN_TRANSIT", None)]

    def test_a_read_knows_a_scan_that_raised_no_version_from_none(
        self, client: FlaskClient, delivery: dict[str, Any]
    ) -> None:
        path = f"/deliveries/{delivery['id']}"
        report(client, delivery, "IN_TRANSIT")
        tags = [client.get(path).headers["ETag"]]
        report(client, delivery, "IN_TRANSIT")
        tags.append(client.get(path).headers["ETag"])

        assert tags == ['"2"', '"2-3"']
        answers = [client.get(path, headers={"If-None-Match": each}).status_code for each in tags]
        assert answers == [200, 304]
        judged = [report(client, delivery, "IN_TRANSIT", {"If-Match": each}).status_code for each in (*tags, '"1-3"')]
        assert judged == [200, 200, 412]


class TestOperators:
    def test_a_move_counts_as_a_scan_of_its_own_moment(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        assert move(delivery_sessions, delivery, "IN_TRANSIT", 1).outcome == "ok"
        assert move(delivery_sessions, delivery, "FAILED", 2).outcome == "ok"

        assert report(client, delivery, "IN_TRANSIT", occurred_at=at(0)).json["status"] == "FAILED"
        assert report(client, delivery, "IN_TRANSIT").json["status"] == "IN_TRANSIT"

    def test_a_move_that_is_granted_happens_after_all_that_is_known(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        soon = ahead(minutes=4)
        report(client, delivery, "FAILED", occurred_at=soon)

        assert move(delivery_sessions, delivery, "IN_TRANSIT", 2).delivery_status == "IN_TRANSIT"

        for told in ({}, {"occurred_at": soon, "location": "Lyon"}):
            again = report(client, delivery, "FAILED", **told).json["status"]
            assert again == "IN_TRANSIT", "it failed before it went out again"

    def test_a_move_keeps_to_its_table(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        answer = move(delivery_sessions, delivery, "DELIVERED", 1)

        assert (answer.outcome, answer.reason) == ("refused", "illegal_move")
        report(client, delivery, "DELIVERED", occurred_at=at(0))
        assert move(delivery_sessions, delivery, "IN_TRANSIT", 2).reason == "illegal_move"


class TestCancelled:
    @pytest.mark.parametrize("status", ["IN_TRANSIT", "DELIVERED", "FAILED"])
    def test_a_scan_of_a_cancelled_parcel_is_kept_and_told_to_sales(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions, status: str
    ) -> None:
        cancel(delivery_sessions, delivery)

        answer = report(client, delivery, status, {"X-Request-ID": "c-7"}, location="Lyon", occurred_at=at(0))

        assert (answer.status_code, answer.json["status"], answer.json["version"]) == (200, "CANCELLED", 2)
        assert log_of(client, delivery) == [("CANCELLED", None), (status, "Lyon")]
        [row] = news_of(delivery_sessions, delivery)
        [said] = row.bundle
        assert (row.task, said["kind"], said["correlation_id"]) == ("sales.update_order_status", "scan", "c-7")
        assert said["detail"] == f"A courier scanned the cancelled parcel as {status} at Lyon, 2026-03-02 12:00 UTC."
        assert "delivery_status" not in said

    def test_each_is_told_once_and_by_a_number_of_its_own(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        cancel(delivery_sessions, delivery)

        for hours in (0, 1, 1, 0):
            report(client, delivery, "IN_TRANSIT", occurred_at=at(hours))

        told = [said["no"] for row in news_of(delivery_sessions, delivery) for said in row.bundle]
        assert len(set(told)) == len(told) == 2

    def test_one_that_failed_and_was_cancelled_then_stays_cancelled_when_it_goes_out_again(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        report(client, delivery, "FAILED", occurred_at=at(0))
        cancel(delivery_sessions, delivery)

        answer = report(client, delivery, "IN_TRANSIT")

        assert (answer.json["status"], answer.json["version"]) == ("CANCELLED", 3)
        assert [row.bundle[0]["kind"] for row in news_of(delivery_sessions, delivery)] == ["delivery", "scan"]


class TestBeside:
    """The release before at work on the same tables, and a backup that was restored."""

    def test_what_the_release_before_has_written_counts_at_its_moment(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        with transaction(delivery_sessions) as session:
            session.execute(
                text(
                    "WITH moved AS"
                    " (UPDATE deliveries SET status = 'FAILED', version = 2 WHERE public_id = :id RETURNING id)"
                    " INSERT INTO delivery_logs (delivery_id, status, location) SELECT id, 'FAILED', 'Lyon' FROM moved"
                ),
                {"id": delivery["id"]},
            )

        first = report(client, delivery, "IN_TRANSIT", occurred_at=at(0))

        assert first.json["status"] == "FAILED"
        old = first.json["log"][1]
        assert (old["occurred_at"], old["event_id"]) == (old["timestamp"], None)
        assert report(client, delivery, "IN_TRANSIT").json["status"] == "IN_TRANSIT"

    def test_of_a_parcel_that_was_restored_the_lost_scans_may_come_again(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        order_id, known = UUID(delivery["order_id"]), {"cancel_no": 0, "notes": "restored"}
        with transaction(delivery_sessions) as session:
            told = NOON + timedelta(hours=2)
            service.restore_delivery(session, order_id, "Lyon", DeliveryStatus.FAILED, 3, at=told, **known)

        again = [("IN_TRANSIT", 0), ("FAILED", 1.9), ("IN_TRANSIT", 3)]
        answers = [report(client, delivery, status, occurred_at=at(hours)).json for status, hours in again]

        assert [(each["status"], each["version"]) for each in answers] == [("FAILED", 3)] * 2 + [("IN_TRANSIT", 4)]


class TestTheWholeLog:
    def pages(self, client: FlaskClient, name: Any, limit: int) -> list[list[str]]:
        """The notes of each page."""
        found, cursor = [], ""
        while cursor is not None:
            page = client.get(f"/deliveries/{name}/events?limit={limit}{cursor}").json
            found.append([each["notes"] for each in page["items"]])
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        return found

    def test_a_log_of_any_length_is_read_in_pages_in_the_order_in_which_it_came(
        self, client: FlaskClient, delivery: dict[str, Any], another: dict[str, Any]
    ) -> None:
        for number in range(7):
            report(client, delivery, "IN_TRANSIT", notes=str(number), occurred_at=at(-number))
            report(client, another, "IN_TRANSIT", notes="of another")

        pages = self.pages(client, delivery["id"], 3)

        assert pages == [[None, "0", "1"], ["2", "3", "4"], ["5", "6"]]
        assert [*chain(*self.pages(client, delivery["id"], 4))] == [*chain(*pages)]

    def test_an_entry_is_what_the_delivery_shows_of_it_and_it_is_found_by_either_name(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        report(client, delivery, "IN_TRANSIT", location="Lyon", event_id="e-1")
        for name in (delivery["id"], serial_of(delivery_sessions, delivery)):
            whole = client.get(f"/deliveries/{name}/events").json
            assert whole == {"items": client.get(f"/deliveries/{name}").json["log"], "next_cursor": None}

    @pytest.mark.parametrize(
        ("path", "status"),
        [("0", 404), ("0192f0c1-0000-7000-8000-000000000000", 404), ("1?limit=101", 422), ("1?cursor=elsewhere", 422)],
    )
    def test_what_is_not_there_or_against_the_rules_is_refused(
        self, client: FlaskClient, path: str, status: int
    ) -> None:
        name, _, query = path.partition("?")
        assert client.get(f"/deliveries/{name}/events?{query}").status_code == status
