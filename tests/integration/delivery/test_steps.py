"""The four steps of delivery on a real database, one story at a time."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import queries, service
from delivery.messages import CancelDelivery, CreateDelivery, ReportStatus, UpdateDelivery
from delivery.models import deliveries

Sessions = sessionmaker[Session]

STEPS = {
    CreateDelivery: service.create_delivery,
    CancelDelivery: service.cancel_delivery,
    UpdateDelivery: service.update_delivery,
    ReportStatus: service.report_status,
}


def tell(sessions: Sessions, *orders: Any) -> list[Any]:
    """One message with these orders arrives and is worked on."""
    with transaction(sessions) as session:
        return list(STEPS[type(orders[0])](session, list(orders)))


def look(sessions: Sessions, order_id: UUID) -> dict[str, Any]:
    """The delivery of this order, with its log."""
    with transaction(sessions) as session:
        return queries.find_delivery_of_order(session, order_id)


def create(order_id: UUID, **fields: Any) -> CreateDelivery:
    return CreateDelivery(**{"order_id": order_id, "address": "12 rue de la Paix", **fields})


def cancel(order_id: UUID, no: int = 1, **fields: Any) -> CancelDelivery:
    return CancelDelivery(order_id=order_id, no=no, **fields)


def move(order_id: UUID, to: Any, expected_version: int, **fields: Any) -> UpdateDelivery:
    return UpdateDelivery(order_id=order_id, to_status=to, expected_version=expected_version, **fields)


def in_short(answer: Any) -> tuple[Any, ...]:
    return answer.outcome, answer.reason, answer.delivery_status, answer.delivery_version


class TestCreate:
    def test_a_dispatched_order_has_a_pending_delivery_and_a_first_log_entry(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()

        [answer] = tell(delivery_sessions, create(order_id))

        assert in_short(answer) == ("ok", None, "PENDING", 1)
        delivery = look(delivery_sessions, order_id)
        assert (delivery["status"], delivery["version"], delivery["address"]) == ("PENDING", 1, "12 rue de la Paix")
        assert [each["status"] for each in delivery["log"]] == ["PENDING"]

    def test_a_copy_takes_the_delivery_as_it_is_and_answers_with_its_newest_state(
        self, delivery_sessions: Sessions
    ) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))
        before = look(delivery_sessions, order_id)

        [answer] = tell(delivery_sessions, create(order_id, address="somewhere else"))

        assert in_short(answer) == ("ok", None, "IN_TRANSIT", 2)
        assert look(delivery_sessions, order_id) == before

    def test_two_creates_of_an_order_in_one_bundle_make_one_delivery(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()

        answers = tell(delivery_sessions, create(order_id), create(order_id, address="somewhere else"))

        assert [in_short(each) for each in answers] == [("ok", None, "PENDING", 1)] * 2
        assert look(delivery_sessions, order_id)["address"] == "12 rue de la Paix"

    def test_an_order_refused_before_is_passed_on_untouched(self, delivery_sessions: Sessions) -> None:
        refused, fine = uuid7(), uuid7()

        answers = tell(
            delivery_sessions,
            create(refused, outcome="refused", reason="insufficient_stock", detail="1 lamp left"),
            create(fine),
        )

        assert in_short(answers[0]) == ("refused", "insufficient_stock", None, None)
        assert answers[0].detail == "1 lamp left"
        assert in_short(answers[1]) == ("ok", None, "PENDING", 1)
        [answer] = tell(delivery_sessions, ReportStatus(order_id=refused))
        assert answer.reason == "no_delivery"


class TestCancel:
    def test_a_delivery_that_has_not_left_is_cancelled(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        [answer] = tell(delivery_sessions, cancel(order_id))

        assert in_short(answer) == ("ok", None, "CANCELLED", 2)
        assert [each["status"] for each in look(delivery_sessions, order_id)["log"]] == ["PENDING", "CANCELLED"]

    def test_a_cancel_before_the_create_leaves_a_tombstone_that_refuses_it(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()

        [cancelled] = tell(delivery_sessions, cancel(order_id))
        [created] = tell(delivery_sessions, create(order_id))

        assert in_short(cancelled) == ("ok", None, "CANCELLED", 1)
        assert in_short(created) == ("refused", "cancelled", "CANCELLED", 1)
        assert look(delivery_sessions, order_id)["address"] is None

    @pytest.mark.parametrize(
        ("moves", "reason"),
        [(["IN_TRANSIT"], "already_in_transit"), (["IN_TRANSIT", "DELIVERED"], "already_delivered")],
    )
    def test_a_parcel_that_has_left_is_not_cancelled_and_the_answer_says_where_it_is(
        self, delivery_sessions: Sessions, moves: list[str], reason: str
    ) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        for version, to in enumerate(moves, start=1):
            tell(delivery_sessions, move(order_id, to, version))

        [answer] = tell(delivery_sessions, cancel(order_id))

        assert in_short(answer) == ("refused", reason, moves[-1], len(moves) + 1)

    def test_a_refused_cancel_leaves_nothing_but_its_number(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))
        before = look(delivery_sessions, order_id)

        tell(delivery_sessions, cancel(order_id, no=4))

        assert look(delivery_sessions, order_id) == {**before, "cancel_no": 4}

    def test_a_late_copy_of_a_refused_cancel_does_not_cancel_a_delivery_that_failed_later(
        self, delivery_sessions: Sessions
    ) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))
        tell(delivery_sessions, cancel(order_id, no=2))
        tell(delivery_sessions, move(order_id, "FAILED", 2))
        before = look(delivery_sessions, order_id)

        answers = [tell(delivery_sessions, cancel(order_id, no=no))[0] for no in (2, 1)]

        assert [in_short(each) for each in answers] == [("refused", "already_refused", "FAILED", 3)] * 2
        assert look(delivery_sessions, order_id) == before

    def test_a_new_cancel_of_a_failed_delivery_is_granted(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))
        tell(delivery_sessions, cancel(order_id, no=1))
        tell(delivery_sessions, move(order_id, "FAILED", 2))

        [answer] = tell(delivery_sessions, cancel(order_id, no=2))

        assert in_short(answer) == ("ok", None, "CANCELLED", 4)

    def test_several_cancels_of_an_order_in_one_bundle_are_taken_in_turn(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        answers = tell(delivery_sessions, cancel(order_id, no=2), cancel(order_id, no=1), cancel(order_id, no=3))

        assert [in_short(each) for each in answers] == [("ok", None, "CANCELLED", 2)] * 3
        assert look(delivery_sessions, order_id)["cancel_no"] == 3


class TestMove:
    def test_an_operators_move_counts_a_version_and_is_logged_with_its_notes(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        [answer] = tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1, notes="left at noon"))

        assert in_short(answer) == ("ok", None, "IN_TRANSIT", 2)
        last = look(delivery_sessions, order_id)["log"][-1]
        assert (last["status"], last["notes"]) == ("IN_TRANSIT", "left at noon")

    @pytest.mark.parametrize(
        ("to", "expected_version", "reason"), [("FAILED", 1, "version_mismatch"), ("IN_TRANSIT", 4, "version_mismatch")]
    )
    def test_a_move_asked_for_another_version_changes_nothing_and_is_answered_with_the_newest_state(
        self, delivery_sessions: Sessions, to: str, expected_version: int, reason: str
    ) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))
        before = look(delivery_sessions, order_id)

        [answer] = tell(delivery_sessions, move(order_id, to, expected_version))

        assert in_short(answer) == ("refused", reason, "IN_TRANSIT", 2)
        assert look(delivery_sessions, order_id) == before

    def test_an_illegal_move_changes_nothing_and_says_what_is_allowed(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        [answer] = tell(delivery_sessions, move(order_id, "DELIVERED", 1))

        assert in_short(answer) == ("refused", "illegal_move", "PENDING", 1)
        assert "IN_TRANSIT" in answer.detail
        assert look(delivery_sessions, order_id)["version"] == 1

    def test_a_refused_move_does_not_even_write_the_row(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))
        place_on_disk = select(text("ctid")).select_from(deliveries).where(deliveries.c.order_id == order_id)
        with transaction(delivery_sessions) as session:
            before = session.scalar(place_on_disk)

        tell(delivery_sessions, move(order_id, "DELIVERED", 1))

        with transaction(delivery_sessions) as session:
            assert session.scalar(place_on_disk) == before

    def test_a_copy_of_a_move_is_answered_as_the_move_was(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        answers = [tell(delivery_sessions, move(order_id, "IN_TRANSIT", 1))[0] for _ in range(2)]

        assert answers[0] == answers[1]
        assert look(delivery_sessions, order_id)["version"] == 2

    def test_moves_of_an_order_in_one_bundle_are_taken_in_turn(self, delivery_sessions: Sessions) -> None:
        order_id = uuid7()
        tell(delivery_sessions, create(order_id))

        answers = tell(
            delivery_sessions,
            *(move(order_id, to, n) for n, to in enumerate(("IN_TRANSIT", "FAILED", "IN_TRANSIT"), 1)),
        )

        assert [each.delivery_version for each in answers] == [2, 3, 4]
        log = look(delivery_sessions, order_id)["log"]
        assert [each["status"] for each in log] == ["PENDING", "IN_TRANSIT", "FAILED", "IN_TRANSIT"]

    def test_orders_of_a_bundle_become_what_each_was_asked_for(self, delivery_sessions: Sessions) -> None:
        left, stays, cancelled, neighbour = (uuid7() for _ in range(4))
        tell(delivery_sessions, *(create(each) for each in (left, stays, cancelled, neighbour)))
        tell(delivery_sessions, cancel(cancelled), cancel(stays, outcome="refused"))
        moves = [move(left, "IN_TRANSIT", 1), move(stays, "DELIVERED", 7), move(cancelled, "IN_TRANSIT", 1)]
        tell(delivery_sessions, *moves)
        tell(delivery_sessions, move(neighbour, "IN_TRANSIT", 1), move(left, "DELIVERED", 2))
        seen = [look(delivery_sessions, each) for each in (left, stays, cancelled, neighbour)]
        assert [(each["status"], len(each["log"])) for each in seen] == [
            ("DELIVERED", 3), ("PENDING", 1), ("CANCELLED", 2), ("IN_TRANSIT", 2),
        ]  # fmt: skip

    def test_an_order_without_a_delivery_cannot_be_moved(self, delivery_sessions: Sessions) -> None:
        [answer] = tell(delivery_sessions, move(uuid7(), "IN_TRANSIT", 1))

        assert in_short(answer) == ("refused", "no_delivery", None, None)


class TestReport:
    def test_a_report_answers_with_the_newest_state_or_that_there_is_none(self, delivery_sessions: Sessions) -> None:
        known, unknown = uuid7(), uuid7()
        tell(delivery_sessions, create(known))
        tell(delivery_sessions, move(known, "IN_TRANSIT", 1))

        answers = tell(delivery_sessions, ReportStatus(order_id=unknown), ReportStatus(order_id=known))

        assert [in_short(each) for each in answers] == [
            ("refused", "no_delivery", None, None),
            ("ok", None, "IN_TRANSIT", 2),
        ]


@pytest.mark.parametrize(
    "message",
    [
        create,
        cancel,
        lambda order_id: move(order_id, "IN_TRANSIT", 1),
        lambda order_id: ReportStatus(order_id=order_id),
    ],
    ids=["create", "cancel", "move", "report"],
)
def test_a_bundle_of_64_orders_needs_no_more_statements_than_one_order(
    delivery_sessions: Sessions, message: Any
) -> None:
    def statements(number: int) -> int:
        orders = [uuid7() for _ in range(number)]
        if message not in (create, cancel):
            tell(delivery_sessions, *map(create, orders))
        seen: list[str] = []
        engine = delivery_sessions.kw["bind"]
        listener = lambda _c, _cursor, statement, *_rest: seen.append(statement)  # noqa: E731
        event.listen(engine, "before_cursor_execute", listener)
        try:
            answers = tell(delivery_sessions, *map(message, orders))
        finally:
            event.remove(engine, "before_cursor_execute", listener)
        assert [each.order_id for each in answers] == orders
        return len(seen)

    assert statements(64) == statements(1) <= 4


def test_a_transaction_that_fails_leaves_neither_a_delivery_nor_a_log(delivery_sessions: Sessions) -> None:
    order_id = uuid7()

    def killed_before_its_commit() -> None:
        with transaction(delivery_sessions) as session:
            service.create_delivery(session, [create(order_id)])
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed_before_its_commit()

    with transaction(delivery_sessions) as session:
        of_order = select(func.count()).select_from(deliveries).where(deliveries.c.order_id == order_id)
        assert session.scalar(of_order) == 0
