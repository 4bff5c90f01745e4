"""Messages about a delivery in any order, doubled, in any bundles: what is promised holds, and can be seen to break.

A story is told twice, to two sets of orders: bundle by bundle, and message by message. Both must end alike.
At the end of the file each guard is taken out in turn, and the same test has to notice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import models, queries, service
from delivery.messages import CancelDelivery, CreateDelivery, ReportStatus, UpdateDelivery
from delivery.models import deliveries, delivery_logs

Sessions = sessionmaker[Session]

ORDERS = 3
LEGAL = {
    ("PENDING", "IN_TRANSIT"),
    ("PENDING", "CANCELLED"),
    ("IN_TRANSIT", "DELIVERED"),
    ("IN_TRANSIT", "FAILED"),
    ("FAILED", "IN_TRANSIT"),
    ("FAILED", "CANCELLED"),
}
STEPS: dict[str, tuple[type[Any], Callable[[Session, Any], list[Any]]]] = {
    "create": (CreateDelivery, lambda *bundle: service.create_delivery(*bundle)),
    "cancel": (CancelDelivery, lambda *bundle: service.cancel_delivery(*bundle)),
    "move": (UpdateDelivery, lambda *bundle: service.update_delivery(*bundle)),
    "report": (ReportStatus, lambda *bundle: service.report_status(*bundle)),
}

order = st.integers(0, ORDERS - 1)
#: "newest" stands for the version that the delivery has when the bundle arrives: what an operator usually sends.
version = st.one_of(st.just("newest"), st.integers(1, 4))
messages = {
    "create": st.fixed_dictionaries({"order": order, "address": st.sampled_from(["Lyon", "Paris"])}),
    "cancel": st.fixed_dictionaries({"order": order, "no": st.integers(1, 3)}),
    "move": st.fixed_dictionaries(
        {
            "order": order,
            "to_status": st.sampled_from(["IN_TRANSIT", "FAILED", "DELIVERED"]),
            "expected_version": version,
        }
    ),
    "report": st.fixed_dictionaries({"order": order}),
}
bundles = st.sampled_from(["create", "move", "move", "cancel", "report"]).flatmap(
    lambda step: st.tuples(st.just(step), st.lists(messages[step], min_size=1, max_size=4), st.integers(1, 2))
)
stories = st.lists(bundles, min_size=1, max_size=10)


@dataclass
class World:
    """Some orders of our own, and what has been promised about them."""

    sessions: Sessions
    orders: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(ORDERS)])
    cancelled: set[UUID] = field(default_factory=set)

    def tell(self, step: str, bundle: list[dict[str, Any]]) -> list[Any]:
        """A message with this bundle arrives."""
        message, work = STEPS[step]
        orders = [message(order_id=self.orders[each["order"]], **_without(each, "order")) for each in bundle]
        with transaction(self.sessions) as session:
            answers = work(session, orders)
        assert [each.order_id for each in answers] == [each.order_id for each in orders]
        return answers

    def rows(self) -> dict[UUID, Row[Any]]:
        """The deliveries of these orders. At most one each."""
        with transaction(self.sessions) as session:
            rows = session.execute(select(deliveries).where(deliveries.c.order_id.in_(self.orders))).all()
        assert len({row.order_id for row in rows}) == len(rows), "an order has two deliveries"
        return {row.order_id: row for row in rows}

    def logs(self) -> dict[int, list[Row[Any]]]:
        """The log of each delivery, oldest entry first."""
        with transaction(self.sessions) as session:
            rows = session.execute(
                select(delivery_logs)
                .join(deliveries)
                .where(deliveries.c.order_id.in_(self.orders))
                .order_by(delivery_logs.c.id)
            ).all()
        return {id_: [row for row in rows if row.delivery_id == id_] for id_ in {row.delivery_id for row in rows}}

    def hear(self, step: str, bundle: list[dict[str, Any]]) -> list[Any]:
        """A message arrives, and everything that is promised about it is held against what has become of the rows."""
        before, logs_before = self.rows(), self.logs()
        answers = self.tell(step, bundle)
        after, logs = self.rows(), self.logs()
        for order_id in self.orders:
            self._check_row(before.get(order_id), after.get(order_id), logs_before, logs)
            mine = [each for each in bundle if self.orders[each["order"]] == order_id]
            if mine:
                self._check_idle(step, mine, before.get(order_id), after.get(order_id))
        self._check_answers(step, answers, before, after)
        return answers

    def _check_row(self, before: Row[Any] | None, after: Row[Any] | None, logs_before: Any, logs: Any) -> None:
        if after is None:
            assert before is None, "a delivery has vanished"
            return
        log = [each.status for each in logs[after.id]]
        times = [each.timestamp for each in logs[after.id]]
        assert after.version == len(log), "the version does not count the moves"
        assert after.status == log[-1]
        assert log[0] == ("CANCELLED" if after.address is None else "PENDING")
        assert set(pairwise(log)) <= LEGAL, f"an illegal move: {log}"
        assert times == sorted(times)
        if before is not None:
            assert after.version >= before.version, "the version went back"
            assert logs[after.id][: before.version] == logs_before[after.id], "the past was rewritten"
        if after.order_id in self.cancelled:
            assert after.status == "CANCELLED", "a cancel was granted, and the delivery goes on"

    def _check_idle(
        self, step: str, mine: list[dict[str, Any]], before: Row[Any] | None, after: Row[Any] | None
    ) -> None:
        """What must change nothing has changed nothing, not even the time of the last change."""
        if before is None:
            return
        seen = step == "cancel" and all(each["no"] <= before.cancel_no for each in mine)
        stale = step == "move" and all(each["expected_version"] != before.version for each in mine)
        if step in ("create", "report") or seen or stale:
            assert after == before, f"a {step} that had to change nothing did"

    def _check_answers(self, step: str, answers: list[Any], before: Any, after: Any) -> None:
        for answer in answers:
            row, was = after.get(answer.order_id), before.get(answer.order_id)
            if row is None:
                assert (answer.outcome, answer.reason) == ("refused", "no_delivery")
                continue
            assert (answer.delivery_status is None) == (answer.delivery_version is None)
            assert answer.delivery_version <= row.version
            if answer is [each for each in answers if each.order_id == answer.order_id][-1]:
                assert (answer.delivery_status, answer.delivery_version) == (row.status, row.version)
            if step == "create":
                granted = was is None or was.status != "CANCELLED"
                assert (answer.outcome, answer.reason) == (("ok", None) if granted else ("refused", "cancelled"))
            if step == "cancel":
                assert (answer.outcome == "ok") == (answer.delivery_status == "CANCELLED")
                if answer.outcome == "ok":
                    self.cancelled.add(answer.order_id)


def check(sessions: Sessions, story: list[tuple[str, list[dict[str, Any]], int]]) -> None:
    """Tell a story to two worlds, to one in bundles and to the other message by message."""
    together, apart = World(sessions), World(sessions)
    for step, bundle, times in story:
        rows = together.rows()
        newest = {n: rows[each].version for n, each in enumerate(together.orders) if each in rows}
        said = [_at_version(each, newest.get(each["order"], 1)) for each in bundle]
        for _ in range(times):
            in_bundles = together.hear(step, said)
            one_by_one = [apart.hear(step, [each])[0] for each in said]
            assert [_anonymous(each) for each in in_bundles] == [_anonymous(each) for each in one_by_one]


def _at_version(message: dict[str, Any], newest: int) -> dict[str, Any]:
    return {**message, "expected_version": newest} if message.get("expected_version") == "newest" else message


def _without(message: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}


def _anonymous(answer: Any) -> dict[str, Any]:
    return _without(msgspec.to_builtins(answer), "order_id")


@given(story=stories)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_messages_in_any_order_doubled_and_in_any_bundles_keep_every_promise(
    delivery_sessions: Sessions, story: list[tuple[str, list[dict[str, Any]], int]]
) -> None:
    check(delivery_sessions, story)


# -- negative controls: one guard is missing, and the test above has to notice --------------------------------------


def _forget_cancel_numbers(patch: pytest.MonkeyPatch) -> None:
    cancel = service._cancel

    def forgetful(order: CancelDelivery, delivery: models.Delivery) -> Any:
        delivery.cancel_no = 0
        return cancel(order, delivery)

    patch.setattr(service, "_cancel", forgetful)


def _ignore_expected_versions(patch: pytest.MonkeyPatch) -> None:
    update = service._update

    def careless(order: UpdateDelivery, delivery: models.Delivery | None) -> Any:
        newest = delivery.version if delivery else 1
        return update(msgspec.structs.replace(order, expected_version=newest), delivery)

    patch.setattr(service, "_update", careless)


def _allow_every_move(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(models, "check_move", lambda current, to: None)


def _ignore_tombstones(patch: pytest.MonkeyPatch) -> None:
    states = queries.states_of_orders

    @dataclass
    class Stands:
        status: str
        version: int

    def rosy(*args: Any) -> dict[UUID, Any]:
        return {order_id: Stands("PENDING", row.version) for order_id, row in states(*args).items()}

    patch.setattr(queries, "states_of_orders", rosy)


def _forget_logs(patch: pytest.MonkeyPatch) -> None:
    save = models.save

    def silent(session: Session, held: Any) -> None:
        rows = list(held)
        for each in rows:
            each.entries.clear()
        save(session, rows)

    patch.setattr(service, "save", silent)


@pytest.mark.parametrize(
    "take_out_the_guard",
    [
        _forget_cancel_numbers,
        _ignore_expected_versions,
        _allow_every_move,
        _ignore_tombstones,
        _forget_logs,
    ],
)
def test_a_missing_guard_is_noticed(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch, take_out_the_guard: Callable[..., None]
) -> None:
    take_out_the_guard(monkeypatch)

    @given(story=stories)
    @settings(max_examples=500, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    def tell_any_story(story: list[tuple[str, list[dict[str, Any]], int]]) -> None:
        check(delivery_sessions, story)

    # Some of it is noticed by the table first: it holds no living delivery without an address.
    with pytest.raises((AssertionError, IntegrityError)):
        tell_any_story()
