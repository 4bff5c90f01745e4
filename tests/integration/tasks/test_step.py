"""The step contract on real PostgreSQL: every edge of the fault table."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
from celery.exceptions import Reject
from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.attempts import attempts
from chassis.database import transaction
from chassis.outbox import outbox
from sales.faults import record_faults
from sales.messages import Fault
from sales.models import quarantine
from tasks import patience
from tasks.step import AnswersMissing, Message, work

TASK = "sales.update_order_status"
NEXT = {"task": "inventory.reserve_stock", "args": [], "kwargs": {}}


class Order(Struct, frozen=True):
    order_id: UUID


class Done(Struct, frozen=True, kw_only=True):
    order_id: UUID
    outcome: str = "ok"
    ended: bool = False


Handler = Callable[[Session, list[Order]], list[Done]]


def accept(_session: Session, orders: list[Order]) -> list[Done]:
    return [Done(order_id=each.order_id) for each in orders]


def refuse_to_work(_session: Session, _orders: list[Order]) -> list[Done]:
    raise RuntimeError("poison")


def message(orders: int = 1, *, redelivered: bool = False, task: str = TASK) -> Message:
    bundle = [{"order_id": str(uuid7()), "kind": "place", "no": 0, "address": "kept"} for _ in range(orders)]
    return Message(str(uuid7()), task, bundle, [NEXT], redelivered, {})


class Bench:
    """Runs messages through the contract and looks at what they leave behind."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions

    def run(self, message: Message, handler: Handler = accept) -> None:
        work(message, "sales", handler, Order)

    def rows(self, message: Message) -> list[Any]:
        ids = {each["order_id"] for each in message.bundle}
        with transaction(self.sessions) as session:
            found = session.execute(select(outbox).order_by(outbox.c.id)).all()
        return [row for row in found if ids & {order.get("order_id") for order in row.bundle}]

    def attempts(self, message: Message) -> int | None:
        with transaction(self.sessions) as session:
            return session.execute(
                select(attempts.c.count).where(attempts.c.message_id == message.id)
            ).scalar_one_or_none()


@pytest.fixture
def bench(sales_sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("tasks.step.sessions_of", lambda _service: sales_sessions)
    monkeypatch.setattr(patience, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(patience.Patience, "_wary_until", 0.0)
    yield Bench(sales_sessions)
    patience.stopping.clear()


def database_error(code: str | None = None) -> OperationalError:
    original = Exception("as from the driver")
    original.pgcode = code  # type: ignore[attr-defined]
    return OperationalError("SELECT 1", {}, original)


def failing(times: int, error: Exception) -> Handler:
    left = [times]

    def handler(session: Session, orders: list[Order]) -> list[Done]:
        if left[0]:
            left[0] -= 1
            raise error
        return accept(session, orders)

    return handler


class TestHandOver:
    def test_the_next_link_is_one_outbox_row_with_what_the_step_said(self, bench: Bench) -> None:
        given = message(3)
        bench.run(given)
        (row,) = bench.rows(given)
        assert row.task == NEXT["task"]
        assert row.links == []
        assert row.bundle == [{**order, "outcome": "ok"} for order in given.bundle]
        assert not row.alone

    def test_work_that_is_rolled_back_hands_nothing_over(self, bench: Bench) -> None:
        given = message(1)

        def write_then_fail(session: Session, orders: list[Order]) -> list[Done]:
            session.execute(text("SELECT 1 / 0"))
            return accept(session, orders)

        bench.run(given, write_then_fail)
        assert [row.task for row in bench.rows(given)] == ["sales.record_fault"]

    def test_an_order_that_has_ended_goes_no_further(self, bench: Bench) -> None:
        given = message(2)
        first = given.bundle[0]["order_id"]
        bench.run(given, lambda _s, orders: [Done(order_id=o.order_id, ended=str(o.order_id) == first) for o in orders])
        (row,) = bench.rows(given)
        assert [order["order_id"] for order in row.bundle] == [given.bundle[1]["order_id"]]

    def test_the_last_link_sends_nothing(self, bench: Bench) -> None:
        given = message(1)
        given = Message(given.id, given.task, given.bundle, [], False, {})
        bench.run(given)
        assert bench.rows(given) == []

    def test_a_copy_in_the_same_bundle_is_worked_on_once(self, bench: Bench) -> None:
        given = message(1)
        given.bundle.append(dict(given.bundle[0]))
        seen: list[int] = []
        bench.run(given, lambda s, orders: (seen.append(len(orders)), accept(s, orders))[1])
        assert seen == [1]

    def test_orders_keep_the_order_of_their_arrival_when_a_copy_is_left_out(self, bench: Bench) -> None:
        given = message(2)
        given.bundle.append(dict(given.bundle[0]))
        bench.run(given)
        (row,) = bench.rows(given)
        assert [each["order_id"] for each in row.bundle] == [each["order_id"] for each in given.bundle[:2]]

    def test_a_step_that_forgets_an_order_is_a_fault(self, bench: Bench) -> None:
        given = message(2)
        bench.run(given, lambda session, orders: accept(session, orders)[:1])
        assert [row.alone for row in bench.rows(given)] == [True, True]
        assert AnswersMissing.__doc__


class TestDatabaseAway:
    def test_a_row_that_is_held_keeps_nobody_waiting_but_its_own_order(self, bench: Bench) -> None:
        several, single = message(3), message(1)
        for given in (several, single):
            bench.run(given, failing(1, database_error("55P03")))
            rows = bench.rows(given)
            assert [row.task for row in rows] == [TASK] * len(given.bundle)
            assert [row.bundle for row in rows] == [[each] for each in given.bundle]
            assert all(row.alone for row in rows)
            assert bench.attempts(given) is None

    def test_for_a_while_after_one_was_held_others_are_waited_for_only_shortly(self, bench: Bench) -> None:
        def lock_timeout(session: Session, orders: list[Order]) -> list[Done]:
            waited.append(session.execute(text("SHOW lock_timeout")).scalar_one())
            return accept(session, orders)

        waited: list[str] = []
        bench.run(message(1), lock_timeout)
        bench.run(message(1), failing(1, database_error("55P03")))
        bench.run(message(1), lock_timeout)
        assert waited == ["5s", "200ms"]

    @pytest.mark.parametrize("code", [None, "57P01", "53300", "53100", "57014", "08006"])
    def test_the_message_is_kept_until_the_database_serves_again(self, bench: Bench, code: str | None) -> None:
        given = message(2)
        bench.run(given, failing(4, database_error(code)))
        assert len(bench.rows(given)) == 1
        assert bench.attempts(given) is None

    def test_a_wait_that_gets_too_long_hands_the_message_back(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience.Patience, "__init__", _impatient(bench.sessions))
        given = message(1)
        with pytest.raises(Reject) as handed_back:
            bench.run(given, failing(10**6, database_error()))
        assert handed_back.value.requeue
        assert bench.attempts(given) is None

    def test_a_worker_that_is_asked_to_stop_hands_the_message_back(self, bench: Bench) -> None:
        patience.stopping.set()
        with pytest.raises(Reject) as handed_back:
            bench.run(message(1), failing(10**6, database_error("57P01")))
        assert handed_back.value.requeue

    def test_handing_back_is_no_attempt(self, bench: Bench) -> None:
        patience.stopping.set()
        given = message(1, redelivered=True)
        with pytest.raises(Reject):
            bench.run(given, failing(10**6, database_error()))
        assert bench.attempts(given) is None


def _impatient(sessions: sessionmaker[Session]) -> Callable[..., None]:
    def __init__(self: Any, message_id: str, _sessions: Any) -> None:
        self._message_id, self._sessions, self._until = message_id, sessions, 0.0

    return __init__


class TestDeadlock:
    @pytest.mark.parametrize("code", ["40P01", "40001"])
    def test_the_bundle_is_done_again_three_times(self, bench: Bench, code: str) -> None:
        given = message(2)
        bench.run(given, failing(3, database_error(code)))
        assert [row.alone for row in bench.rows(given)] == [False]

    def test_then_it_is_handed_back(self, bench: Bench) -> None:
        with pytest.raises(Reject) as handed_back:
            bench.run(message(2), failing(4, database_error("40P01")))
        assert handed_back.value.requeue


class TestPoison:
    def test_a_bundle_is_split_into_messages_that_are_alone(self, bench: Bench) -> None:
        given = message(3)
        bench.run(given, refuse_to_work)
        rows = bench.rows(given)
        assert [row.bundle for row in rows] == [[order] for order in given.bundle]
        assert {(row.task, row.alone) for row in rows} == {(TASK, True)}
        assert all(row.links == [NEXT] for row in rows)

    def test_a_single_order_counts_to_three_and_is_recorded(self, bench: Bench) -> None:
        given = message(1)
        tried: list[int] = []

        def count(session: Session, orders: list[Order]) -> list[Done]:
            tried.append(1)
            return refuse_to_work(session, orders)

        bench.run(given, count)
        (row,) = bench.rows(given)
        assert len(tried) == 3
        assert (row.task, row.alone) == ("sales.record_fault", True)
        (fault,) = row.bundle
        assert fault["body"] == {"bundle": given.bundle, "links": [NEXT]}
        assert (fault["queue"], fault["task"], fault["reason"]) == ("order_status_queue", TASK, "RuntimeError: poison")
        assert bench.attempts(given) is None

    def test_a_single_order_that_recovers_goes_on(self, bench: Bench) -> None:
        given = message(1)
        bench.run(given, failing(2, RuntimeError("twice")))
        assert [row.task for row in bench.rows(given)] == [NEXT["task"]]
        assert bench.attempts(given) is None

    def test_a_body_that_is_no_bundle_is_recorded_without_an_order(self, bench: Bench) -> None:
        given = Message(str(uuid7()), TASK, [{"malformed": ["garbage"]}], [], False, {})
        bench.run(given)
        with transaction(bench.sessions) as session:
            faults = session.execute(select(outbox.c.bundle).where(outbox.c.task == "sales.record_fault")).scalars()
            found = [fault for (fault,) in faults if fault["message_id"] == given.id]
        assert [fault["order_id"] for fault in found] == [None]

    def test_a_fault_that_cannot_be_recorded_is_left_to_the_dead_letter_queue(self, bench: Bench) -> None:
        with pytest.raises(Reject) as rejected:
            bench.run(given := message(1, task="sales.record_fault"), refuse_to_work)
        assert not rejected.value.requeue
        assert bench.attempts(given) is None

    def test_whatever_its_words_can_be_recorded(self, bench: Bench) -> None:
        given = message(1)
        given.bundle[0]["correlation_id"] = "nul \0 half \ud800"
        bench.run(given, failing(3, RuntimeError("nul \0 half \ud800")))
        (row,) = bench.rows(given)
        with transaction(bench.sessions) as session:
            record_faults(session, [msgspec.convert(each, Fault) for each in row.bundle])
            kept = select(quarantine.c.reason).where(quarantine.c.message_id == given.id)
            assert session.execute(kept).scalar_one() == "RuntimeError: nul \N{REPLACEMENT CHARACTER} half ?"


class TestKilledWorkers:
    """A killed worker raises nothing: the message comes back redelivered, and is counted before it is tried."""

    def test_the_count_is_committed_before_the_work(self, bench: Bench) -> None:
        given = message(1, redelivered=True)
        seen: list[int | None] = []
        bench.run(given, lambda s, orders: (seen.append(bench.attempts(given)), accept(s, orders))[1])
        assert seen == [1]
        assert bench.attempts(given) is None

    def test_the_counts_of_others_stay_when_a_message_ends_well(self, bench: Bench) -> None:
        killer, innocent = message(1, redelivered=True), message(1, redelivered=True)
        died(bench, killer, times=1)
        bench.run(innocent)
        assert (bench.attempts(killer), bench.attempts(innocent)) == (1, None)

    def test_a_bundle_is_split_the_second_time(self, bench: Bench) -> None:
        given = message(2, redelivered=True)
        died(bench, given, times=1)
        bench.run(given)
        assert [row.alone for row in bench.rows(given)] == [True, True]
        assert bench.attempts(given) is None

    def test_a_single_order_is_recorded_the_third_time(self, bench: Bench) -> None:
        given = message(1, redelivered=True)
        died(bench, given, times=2)
        bench.run(given, refuse_to_work)
        (row,) = bench.rows(given)
        assert row.task == "sales.record_fault"
        assert row.bundle[0]["reason"] == "its worker died at it"

    def test_an_innocent_message_behind_a_killer_is_not_counted(self, bench: Bench) -> None:
        given = message(1, redelivered=True)
        for _ in range(5):  # redelivered five times; the work was never begun before
            assert bench.attempts(given) is None
        bench.run(given)
        assert [row.task for row in bench.rows(given)] == [NEXT["task"]]


def died(bench: Bench, given: Message, times: int) -> None:
    """The worker died at this message: the count is there, the rest of its transaction is not."""
    with transaction(bench.sessions) as session:
        session.execute(attempts.insert().values(message_id=given.id, count=times))
