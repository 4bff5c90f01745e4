"""An hour in which a participant is away, with the clock moved: it costs the hour, and no storm of messages."""

from collections import Counter

import pytest
from sqlalchemy import text

from chassis.database import transaction
from sales import sweeping
from tests.integration.saga.paper_broker import Mail, World

#: What may be sent again in an hour: one order of each kind every five minutes, to see whether anything gets through.
PROBES = 24


@pytest.fixture
def alone(world: World) -> World:
    """A world whose sweeper sees no other test's orders."""
    with transaction(world.sessions["sales"]) as session:
        session.execute(text("DELETE FROM order_sagas"))
        session.execute(
            text("UPDATE orders SET status = 'Delivered' WHERE status IN ('Pending Shipment', 'In Transit')")
        )
    return world


def pass_minutes(world: World, minutes: int, away: str) -> Counter[str]:
    """What the sweeper sends again in these minutes, while messages for the participant that is away stay in its queue.

    A round every 100 seconds: what is due does not become more by being looked at more often.
    """
    again: Counter[str] = Counter()
    for _ in range(minutes * 60 // 100):
        world.pass_time(100)
        again += world.sweep()
        while mail := next((each for each in world.mail if not each.task.startswith(away)), None):
            world.mail.remove(mail)
            world.deliver(mail)
    return again


def drain(world: World) -> Counter[str]:
    """Two workers empty the queues while the sweeper goes on; one of them has four messages in hand for long."""
    again: Counter[str] = Counter()
    held: list[Mail] = []
    while world.mail or held:
        if not held:
            held, world.mail = world.mail[:4], world.mail[4:]
        for _ in range(12):
            if world.mail:
                world.deliver(world.mail.pop(0))
        world.pass_time(5)
        again += world.sweep()
        if held:
            world.deliver(held.pop(0))
    return again


@pytest.mark.parametrize("away", ["inventory", "delivery", "sales"])
def test_a_participant_that_is_away_for_an_hour_costs_the_hour_and_no_storm(alone: World, away: str) -> None:
    product = alone.add_product(stock=1_000)
    shipped = [alone.place((product, 1)) for _ in range(4)]
    alone.settle()
    waiting = [alone.place((product, 1)) for _ in range(8)]
    for each in shipped[:3]:
        alone.cancel(each)
    during = pass_minutes(alone, 30, away)
    # Orders keep coming for a while, and then nobody orders any more.
    waiting += [alone.place((product, 1)) for _ in range(8)]
    during += pass_minutes(alone, 30, away)
    after = drain(alone)
    assert {alone.status(each) for each in waiting} == {"Pending Shipment"}
    assert (alone.flagged(), alone.violations()) == ([], [])
    assert during.total() <= PROBES, during
    assert max(during.values(), default=0) <= 5  # there are only three cancels to send one of
    assert after.total() <= 1, after


def test_messages_that_are_lost_with_nobody_ordering_any_more_are_found_within_minutes(
    alone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "MOST", 10)
    product = alone.add_product(stock=1_000)
    alone.place((product, 1))
    alone.settle()
    lost = [alone.place((product, 1)) for _ in range(25)]
    alone.mail.clear()
    again = pass_minutes(alone, 15, "nobody")
    assert {alone.status(each) for each in lost} == {"Pending Shipment"}
    assert (alone.flagged(), alone.violations()) == ([], [])
    assert max(again.values()) == 1
