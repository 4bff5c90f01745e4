"""Scans in any order, doubled, in any groups: the same scans end in the same status, and each is kept once.

Their times are of a day that has passed. At the end of the file each guard is taken out in turn, and the same test has
to notice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from delivery import scans, service
from delivery.messages import CreateDelivery
from delivery.models import deliveries, delivery_logs
from delivery.scans import Report, Scan, follow_couriers
from delivery.status import DELIVERED, FAILED, IN_TRANSIT, DeliveryStatus

Sessions = sessionmaker[Session]
Group = list[Scan]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def scan(status: DeliveryStatus, minutes: int, location: str | None) -> Scan:
    return Scan(status, location, occurred_at=NOON + timedelta(minutes=minutes))


#: Few times, so that some are equal; DELIVERED is rare enough for the others to be seen.
statuses = st.sampled_from([IN_TRANSIT, IN_TRANSIT, IN_TRANSIT, FAILED, FAILED, FAILED, DELIVERED])
scans_of_a_day = st.lists(
    st.builds(scan, statuses, st.integers(0, 4), st.sampled_from([None, "Hub A", "Hub B"])), min_size=1, max_size=6
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Group], list[Group]]:
    """The same scans told twice, each in an order of its own, some of them doubled, in groups of any size.

    Some have a name, the same in both, which a copy has as well.
    """
    names = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    told = [
        replace(each, event_id=f"e-{n}") if name else each
        for n, (each, name) in enumerate(zip(draw(scans_of_a_day), names, strict=False))
    ]
    return draw(_in_groups(told)), draw(_in_groups(told))


@st.composite
def _in_groups(draw: st.DrawFn, told: list[Scan]) -> list[Group]:
    copies = draw(st.lists(st.sampled_from(told), max_size=3))
    left = draw(st.permutations([*told, *copies]))
    groups: list[Group] = []
    while left:
        size = draw(st.integers(1, 3))
        groups.append(list(left[:size]))
        left = left[size:]
    return groups


def parcel_after(sessions: Sessions, groups: Sequence[Group]) -> tuple[str, int, Counter[Any]]:
    """The status, the version and the scans in the log of a new parcel that was scanned like this."""
    order_id = uuid7()
    with transaction(sessions) as session:
        service.create_delivery(session, [CreateDelivery(order_id=order_id, address="Lyon")])
        query = select(deliveries.c.id).where(deliveries.c.order_id == order_id)
        parcel = session.execute(query).scalar_one()
    for group in groups:
        with transaction(sessions) as session:
            reports = [Report(parcel, each, "a-correlation-id") for each in group]
            assert all(isinstance(each, dict) for each in follow_couriers(session, reports, wait=False))
    with transaction(sessions) as session:
        row = session.execute(select(deliveries).where(deliveries.c.id == parcel)).one()
        entries = select(delivery_logs).where(delivery_logs.c.delivery_id == parcel).order_by(delivery_logs.c.id)
        log = session.execute(entries).all()
    times = [each.timestamp for each in log]
    assert times == sorted(set(times)), "the log's times went back"
    return row.status, row.version, Counter((each.status, each.location, each.occurred_at) for each in log[1:])


def expected_of(groups: Sequence[Group]) -> str:
    """What the rule makes of these scans, in words of its own."""
    told = [each for group in groups for each in group]
    if any(each.status == DELIVERED for each in told):
        return "DELIVERED"
    latest = max(each.occurred_at for each in told if each.occurred_at)
    return "FAILED" if any(each.status == FAILED for each in told if each.occurred_at == latest) else "IN_TRANSIT"


def check(sessions: Sessions, first: list[Group], second: list[Group]) -> None:
    one, other = parcel_after(sessions, first), parcel_after(sessions, second)
    assert one[0] == other[0] == expected_of(first), "the order of arrival decides"
    assert one[2] == other[2], "another log"
    kept = {(each.status, each.location, each.occurred_at) for group in first for each in group}
    assert one[2] == Counter(kept), "a scan is missing, or there twice"


@given(told=stories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_scans_end_alike_in_whatever_order_they_arrive(
    delivery_sessions: Sessions, told: tuple[list[Group], list[Group]]
) -> None:
    check(delivery_sessions, *told)


@given(told=stories())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_copies_change_nothing_in_whatever_order_they_come(
    delivery_sessions: Sessions, told: tuple[list[Group], list[Group]]
) -> None:
    once, copies = told
    assert parcel_after(delivery_sessions, [*once, *copies]) == parcel_after(delivery_sessions, once)


# -- negative controls: one guard is missing, and the tests above have to notice ------------------------------------


def _newest_arrival_decides(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scans, "status_by_scan", lambda _current, _latest, scanned, *_times: scanned)


def _delivered_does_not_stay(patch: pytest.MonkeyPatch) -> None:
    rule = scans.status_by_scan

    def careless(current: DeliveryStatus, latest: Any, scanned: Any, at: Any, received: Any) -> DeliveryStatus:
        if current != DELIVERED or latest is None:
            return rule(current, latest, scanned, at, received)
        return scanned if at > latest else current

    patch.setattr(scans, "status_by_scan", careless)


def _of_one_time_the_first_stays(patch: pytest.MonkeyPatch) -> None:
    rule = scans.status_by_scan

    def careless(current: DeliveryStatus, latest: Any, scanned: Any, at: Any, received: Any) -> DeliveryStatus:
        same = at == latest and scanned != DELIVERED
        return current if same else rule(current, latest, scanned, at, received)

    patch.setattr(scans, "status_by_scan", careless)


def _copies_of_one_group_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scan, "is_again", lambda _self, _entry: False)


def _copies_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    remembered = scans.queries.remembered

    def forgetful(session: Session, told: Sequence[dict[str, Any]]) -> Any:
        return remembered(session, [{**each, "event_id": None, "location": "nowhere"} for each in told])

    patch.setattr(scans.queries, "remembered", forgetful)


@pytest.mark.parametrize(
    "take_out_the_guard",
    [
        _newest_arrival_decides,
        _delivered_does_not_stay,
        _of_one_time_the_first_stays,
        _copies_of_one_group_are_not_seen,
        _copies_are_not_seen,
    ],
)
def test_a_missing_guard_is_noticed(
    delivery_sessions: Sessions, monkeypatch: pytest.MonkeyPatch, take_out_the_guard: Callable[..., None]
) -> None:
    take_out_the_guard(monkeypatch)

    @given(told=stories())
    @settings(max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    def tell_any_story(told: tuple[list[Group], list[Group]]) -> None:
        check(delivery_sessions, *told)

    with pytest.raises(AssertionError):
        tell_any_story()
