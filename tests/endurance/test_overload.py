"""More orders than the steps can work on, for minutes: memory stays bounded, nobody waits long, nothing is lost."""

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.pressure import Memory, Stream, drained, evidence, percentile, under_way
from tests.e2e.shop import Shop
from tests.e2e.stack import Stack
from tests.endurance.conftest import Report, minutes

#: Orders under way at which this stack refuses new ones: reached after a while, so that both are seen.
MOST = 5_000
#: MiB that a process of ours, with all that it has started, may occupy; and RabbitMQ, PostgreSQL and Valkey.
BOUNDS = {"rabbitmq": 1_200, "postgres": 600, "valkey": 200}
BOUND = 200


@contextlib.contextmanager
def slowed_down(stack: Stack, *workers: str, share: float) -> Iterator[None]:
    """These workers run for this share of each second only, as on a machine that is too small."""
    done = threading.Event()

    def brake() -> None:
        while not done.is_set():
            for number, seconds in ((signal.SIGSTOP, 1 - share), (signal.SIGCONT, share)):
                for each in workers:
                    stack.signal(each, number)
                done.wait(seconds)
        for each in workers:
            stack.signal(each, signal.SIGCONT)

    thread = threading.Thread(target=brake)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("stack", [{"max_open_orders": str(MOST)}], indirect=True)
def test_more_orders_than_can_be_worked_on_for_five_minutes(stack: Stack, shop: Shop, report: Report) -> None:
    product, length = shop.add_product(stock=10**6), minutes(5)
    longest_queue = 0
    with Memory(stack) as memory:
        with slowed_down(stack, "worker-inventory", share=0.2):
            began = time.monotonic()
            with Stream(shop, product, rate=None, clients=16, lines=3) as stream:
                while time.monotonic() < began + length:
                    stream.flows(5)
                    longest_queue = max(longest_queue, under_way(stack))
        drain = drained(stack, 900)
    answers = Counter(each.status for each in stream.taken)
    refused = [each for each in stream.taken if each.status != 201]
    accepted = [each for each in stream.taken if each.status == 201]
    report(
        overload_seconds=round(length),
        answers=answers,
        accepted_a_second=round(answers[201] / length, 1),
        refusals=Counter(each.body["code"] if each.status else each.body for each in refused),
        most_orders_under_way=longest_queue,
        drained_after_seconds=round(drain),
        POST_201_p50_p99_max_ms=[round(1000 * percentile(accepted, share)) for share in (0.5, 0.99, 1)],
        POST_503_p50_p99_max_ms=[round(1000 * percentile(refused, share)) for share in (0.5, 0.99, 1)],
        peak_memory_MiB=memory.peaks(),
        growth_in_the_last_third_MiB={name: round(memory.growth(name)) for name in memory.peaks()},
    )
    seen = evidence(stack)
    report(**vars(seen))
    assert seen.harmless()
    placed = {each["id"]: each["status"] for each in shop.orders()}
    assert stream.orders() <= placed.keys()
    assert set(placed.values()) <= {"Pending Shipment", "Cancelled"}, Counter(placed.values())
    checked = stack.conveyor("reconcile", "--settled", seconds=900)
    assert checked.returncode == 0, checked.stdout
    assert {each.status for each in refused} <= {503}
    assert all(each.retry_after and int(each.retry_after) > 0 for each in refused)
    assert percentile(stream.taken, 0.99) < 2.0
    assert longest_queue < MOST * 1.2
    for name, most in memory.peaks().items():
        assert most < BOUNDS.get(name, BOUND), name
