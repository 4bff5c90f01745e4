"""A server is away for long under a steady stream of orders: every order ends, nobody is bothered, no storm follows."""

import time
from collections import Counter

import pytest

from tests.e2e.pressure import (
    Evidence,
    Memory,
    Stream,
    broker_away,
    database_away,
    drained,
    evidence,
    percentile,
)
from tests.e2e.shop import Shop
from tests.e2e.stack import Stack
from tests.endurance.conftest import Report, minutes

#: Seconds of the stream before and after an outage.
AROUND = 20.0
#: A probe every five minutes for each of the two chains, and two for its beginning and its end.
PROBES_A_MINUTE = 2 / 5


def ends_well(stack: Stack, shop: Shop, stream: Stream, product: str) -> Evidence:
    """What was accepted is there and has ended, stock and ledger agree, and nobody has to look at anything."""
    placed = {each["id"]: each["status"] for each in shop.orders()}
    assert stream.orders() <= placed.keys()
    assert set(placed.values()) <= {"Pending Shipment", "Cancelled"}, Counter(placed.values())
    assert {placed[each] for each in stream.cancelled} <= {"Cancelled"}
    shipped = Counter(placed.values())["Pending Shipment"]
    assert shop.invariants(product) == (10**6 - shipped, 10**6 - shipped, shipped)
    checked = stack.conveyor("reconcile", "--settled", seconds=600)
    assert checked.returncode == 0, checked.stdout
    seen = evidence(stack)
    assert seen.harmless(), seen
    return seen


def test_the_broker_is_away_for_ten_minutes(stack: Stack, shop: Shop, report: Report) -> None:
    product, outage = shop.add_product(stock=10**6), minutes(10)
    with Memory(stack) as memory, Stream(shop, product) as stream:
        stream.flows(AROUND)
        began = time.monotonic()
        with broker_away(stack):
            stream.flows(outage)
        back = time.monotonic()
        stream.flows(AROUND)
    drain = drained(stack, 600)
    during = stream.since(began, back)
    figures = {
        "outage_seconds": round(back - began),
        "orders": len(stream.orders()),
        "cancelled": len(stream.cancelled),
        "answers": Counter(each.status for each in stream.taken),
        "drained_after_seconds": round(AROUND + drain, 1),
        "POST_p50_p99_during_ms": [round(1000 * percentile(during, share)) for share in (0.5, 0.99)],
        "peak_memory_MiB": memory.peaks(),
    }
    report(**figures)
    seen = ends_well(stack, shop, stream, product)
    report(**vars(seen))
    assert {each.status for each in stream.taken} == {201}
    assert seen.lost + seen.probes <= 2 + PROBES_A_MINUTE * outage / 60
    assert seen.most <= 3


@pytest.mark.parametrize("service", ["sales", "inventory", "delivery"])
def test_a_database_is_away_for_five_minutes(stack: Stack, shop: Shop, report: Report, service: str) -> None:
    product, outage = shop.add_product(stock=10**6), minutes(5)
    with Memory(stack) as memory, Stream(shop, product) as stream:
        stream.flows(AROUND)
        began = time.monotonic()
        with database_away(stack, service):
            stream.flows(outage)
        back = time.monotonic()
        stream.flows(AROUND)
    drain = drained(stack, 600)
    during = stream.since(began, back)
    refused = [each for each in stream.taken if each.status != 201]
    report(
        outage_seconds=round(back - began),
        orders=len(stream.orders()),
        cancelled=len(stream.cancelled),
        answers=Counter(each.status for each in stream.taken),
        refusals=Counter(each.body["code"] if each.status else each.body for each in refused),
        drained_after_seconds=round(AROUND + drain, 1),
        POST_p50_p99_during_ms=[round(1000 * percentile(during, share)) for share in (0.5, 0.99)],
        peak_memory_MiB=memory.peaks(),
    )
    seen = ends_well(stack, shop, stream, product)
    report(**vars(seen))
    assert {each.status for each in refused} <= {503}
    assert service == "sales" or not refused
    assert all(each.retry_after and int(each.retry_after) > 0 for each in refused)
    assert percentile(refused, 0.99) < 1.0
    assert seen.lost + seen.probes <= 2 + PROBES_A_MINUTE * outage / 60
    assert seen.most <= 3
