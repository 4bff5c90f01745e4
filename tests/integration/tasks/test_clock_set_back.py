"""Somebody sets the clock back by an hour, in a quiet shop: its rows are from the future then.

Time is moved by moving every moment in the database: forwards is the clock set back.
"""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from sales import sweeping
from tests.integration.tasks.test_sweeper import PLACE_CHAIN, Shop, orders_in

HOUR = 3_600


@pytest.fixture
def shop(sales_sessions: sessionmaker[Session]) -> Shop:
    return Shop(sales_sessions)


def sweep_for(shop: Shop, seconds: int, every: int = 30) -> list[str]:
    """The orders that are sent again within so long; each ends a moment later, as none of its messages is lost now."""
    sent: list[str] = []
    for _ in range(seconds // every):
        shop.wait(every)
        for order in orders_in(row for row in shop.sweep() if row.task == PLACE_CHAIN[0]):
            sent.append(order)
            shop.finish(UUID(order))
        shop.relay()
    return sent


def open_chains(shop: Shop) -> int:
    with transaction(shop.sessions) as session:
        return int(session.execute(text("SELECT count(*) FROM order_sagas WHERE deadline IS NOT NULL")).scalar_one())


def test_six_lost_orders_are_sent_again_within_minutes_and_none_is_flagged(shop: Shop) -> None:
    shop.finish(shop.place())
    lost = [shop.place() for _ in range(6)]
    shop.wait(-HOUR)
    assert sorted(set(sweep_for(shop, 480))) == sorted(map(str, lost))
    assert not any(shop.order(each).needs_attention for each in lost)


def test_six_orders_that_are_lost_after_it_are_sent_again_as_ever(shop: Shop) -> None:
    shop.finish(shop.place())
    shop.wait(-HOUR)
    lost = [shop.place() for _ in range(6)]
    assert sorted(sweep_for(shop, 480)) == sorted(map(str, lost))


def test_an_order_that_ended_across_it_says_of_none_that_it_is_lost(shop: Shop) -> None:
    begun = shop.place()
    shop.wait(-HOUR)
    shop.finish(begun)
    for _ in range(6):
        shop.place()
    shop.wait(HOUR + 31)
    # Begun in an hour that came twice, it overtook nobody. Nothing else has got through for long: that is a probe.
    assert len(shop.sweep()) == 1


def test_an_order_that_only_waits_has_its_whole_deadline(shop: Shop) -> None:
    shop.finish(shop.place())
    shop.place()
    shop.wait(-HOUR)
    assert shop.sweep() == []
    shop.wait(29)
    assert shop.sweep() == []


def test_a_parcel_that_moved_in_the_future_is_asked_after_a_day_later_and_once(shop: Shop) -> None:
    silent = shop.finish(shop.place())
    shop.wait(-365 * 86_400)
    assert shop.sweep() == []
    shop.wait(86_401)
    assert orders_in(shop.sweep()) == [str(silent)]
    assert shop.sweep() == []


def test_a_chain_that_waits_longer_each_time_is_left_as_it_is(shop: Shop) -> None:
    shop.finish(shop.place())
    often_sent = shop.place()
    with transaction(shop.sessions) as session:
        session.execute(text("UPDATE order_sagas SET deadline = now() + interval '10 minutes' WHERE deadline > now()"))
    before = shop.saga(often_sent)
    assert shop.sweep() == []
    assert shop.saga(often_sent) == before
    with transaction(shop.sessions) as session:
        assert sweeping.put_clock_right(session) == 0


def test_a_parcel_that_was_asked_after_before_it_moved_is_known_to_have_been(shop: Shop) -> None:
    silent = shop.finish(shop.place())
    moments = "updated_at = now() + interval '1 hour', delivery_asked_at = now() - interval '5 minutes'"
    with transaction(shop.sessions) as session:
        session.execute(text(f"UPDATE orders SET {moments} WHERE id = :id"), {"id": silent})
    asked = shop.order(silent).delivery_asked_at
    shop.sweep()
    assert shop.order(silent).delivery_asked_at == asked


def test_an_order_that_has_ended_keeps_its_moment(shop: Shop) -> None:
    ended = shop.place()
    shop.refuse(ended)
    shop.wait(-HOUR)
    before = shop.order(ended)
    shop.sweep()
    assert shop.order(ended).updated_at == before.updated_at


@pytest.mark.parametrize("table", ["order_sagas", "orders"])
def test_a_row_that_somebody_holds_keeps_the_sweeper_from_no_other(shop: Shop, table: str) -> None:
    held, other = shop.place(), shop.place()
    if table == "orders":
        shop.finish(held)
        shop.finish(other)
    shop.wait(-HOUR)
    key = {"order_sagas": "order_id", "orders": "id"}[table]
    moment = {"order_sagas": "sent_at", "orders": "updated_at"}[table]
    ahead = text(f"SELECT {key} FROM {table} WHERE {moment} > now() + interval '1 minute'")
    with shop.sessions() as holder:
        holder.execute(text(f"SELECT FROM {table} WHERE {key} = :id FOR UPDATE"), {"id": held})
        with transaction(shop.sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
            sweeping.put_clock_right(session)
        with transaction(shop.sessions) as session:
            left = set(session.execute(ahead).scalars())
    assert held in left
    assert other not in left


def test_so_many_rows_are_put_right_in_a_round(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "MOST_AHEAD", 2)
    for _ in range(3):
        shop.finish(shop.place())
        shop.place()
    shop.wait(-HOUR)
    with transaction(shop.sessions) as session:
        assert [sweeping.put_clock_right(session) for _ in range(3)] == [4, 2, 0]


def test_rows_of_the_last_minute_are_left_as_they_are(shop: Shop) -> None:
    before = shop.saga(shop.place())
    shop.wait(-50)
    shop.sweep()
    after = shop.saga(before.order_id)
    assert (after.sent_at - before.sent_at).total_seconds() == 50


def test_control_without_it_nothing_is_sent_again_for_as_long(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "put_clock_right", lambda _session: 0)
    shop.finish(shop.place())
    lost = [shop.place() for _ in range(6)]
    shop.wait(-HOUR)
    assert sweep_for(shop, 480) == []
    assert open_chains(shop) == len(lost)


MOVES = st.lists(st.sampled_from(["place", "finish", "back", "forth", "wait", "sweep"]), max_size=14)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_wherever_the_clock_was_set_every_lost_order_is_sent_again_within_a_quarter_of_an_hour(
    moves: list[str], sales_sessions: sessionmaker[Session]
) -> None:
    shop, lost = Shop(sales_sessions), []
    for move in moves:
        if move == "place":
            lost.append(shop.place())
        elif move == "finish":
            shop.finish(shop.place())
        elif move == "sweep":
            shop.sweep()
            shop.relay()
        else:
            shop.wait({"back": -HOUR, "forth": HOUR, "wait": 40}[move])
    for _ in range(40):  # deadlines double: those that were sent twice before wait for longer
        if not open_chains(shop):
            break
        sweep_for(shop, 60)
    assert not open_chains(shop), lost
    assert not any(shop.order(each).needs_attention for each in lost)
