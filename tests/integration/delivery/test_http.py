"""Couriers and clerks over HTTP."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import outbox
from chassis.settings import Settings
from delivery import service
from delivery.app import attach, create_app
from delivery.messages import CancelDelivery, CreateDelivery

Sessions = sessionmaker[Session]


@pytest.fixture
def client(delivery_sessions: Sessions) -> FlaskClient:
    """A client of the app on the tests' database."""
    app = create_app(Settings(delivery_database_url="postgresql://nobody@127.0.0.1:1/replaced"))
    attach(app, delivery_sessions)
    return app.test_client()


@pytest.fixture
def delivery(client: FlaskClient) -> dict[str, Any]:
    """A pending delivery."""
    return dispatch(client)


def dispatch(client: FlaskClient, order_id: Any = None) -> dict[str, Any]:
    answer = client.post("/deliveries", json={"order_id": str(order_id or uuid7()), "address": "12 rue de la Paix"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def report(client: FlaskClient, delivery: dict[str, Any], status: str, headers: Any = None, **body: Any) -> Any:
    return client.patch(f"/deliveries/{delivery['id']}/status", json={"status": status, **body}, headers=headers)


def news_of(sessions: Sessions, delivery: dict[str, Any]) -> list[Any]:
    """The outbox rows about this delivery, oldest first."""
    with transaction(sessions) as session:
        rows = session.execute(select(outbox).order_by(outbox.c.id)).all()
    return [row for row in rows if row.bundle[0]["order_id"] == delivery["order_id"]]


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

    @pytest.mark.parametrize("path", ["/deliveries/0", "/deliveries/order/0192f0c1-0000-7000-8000-000000000000"])
    def test_a_delivery_that_is_not_there_is_not_found(self, client: FlaskClient, path: str) -> None:
        answer = client.get(path)

        assert (answer.status_code, answer.json["code"]) == (404, "delivery_not_found")


class TestReport:
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

    def test_a_report_of_what_is_so_already_changes_nothing_and_tells_nobody(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        first = report(client, delivery, "IN_TRANSIT")

        second = report(client, delivery, "IN_TRANSIT", location="elsewhere")

        assert (second.status_code, second.json) == (200, first.json)
        assert len(news_of(delivery_sessions, delivery)) == 1

    def test_events_out_of_order_are_refused_naming_what_is_allowed_and_never_take_a_delivery_back(
        self, client: FlaskClient, delivery: dict[str, Any], delivery_sessions: Sessions
    ) -> None:
        said = ["DELIVERED", "IN_TRANSIT", "PENDING", "DELIVERED", "FAILED", "IN_TRANSIT", "DELIVERED"]

        answers = [report(client, delivery, each) for each in said]

        assert [each.status_code for each in answers] == [409, 200, 409, 200, 409, 409, 200]
        assert {each.json["code"] for each in answers if each.status_code == 409} == {"illegal_transition"}
        early = answers[0].json
        assert (early["from"], early["to"], early["allowed"]) == ("PENDING", "DELIVERED", ["IN_TRANSIT", "CANCELLED"])
        assert answers[4].json["allowed"] == []
        last = client.get(f"/deliveries/{delivery['id']}").json
        assert [each["status"] for each in last["log"]] == ["PENDING", "IN_TRANSIT", "DELIVERED"]
        told = [row.bundle[0]["delivery_version"] for row in news_of(delivery_sessions, delivery)]
        assert told == [2, 3]

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

        monkeypatch.setattr(service, "enqueue", broken)

        answer = report(client, delivery, "IN_TRANSIT")

        assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
        assert client.get(f"/deliveries/{delivery['id']}").json == delivery
        assert news_of(delivery_sessions, delivery) == []
