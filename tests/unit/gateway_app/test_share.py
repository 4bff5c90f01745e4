"""A service's share of the gateway's threads: a burst waits its turn, a slow service's requests are refused at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from chassis.settings import Settings
from gateway_app.errors import UpstreamBusy
from gateway_app.share import Share

SLOW = 0.5
SETTINGS = replace(Settings(), gateway_threads=12, upstream_share=0.25, upstream_slow=SLOW)


@contextmanager
def taken(share: Share, places: int) -> Iterator[None]:
    """So many places are taken for the block."""
    with ExitStack() as requests:
        for _ in range(places):
            requests.enter_context(share.place())
        yield


def test_over_its_share_a_slow_service_is_refused_at_once_and_not_before() -> None:
    share = Share("inventory", SETTINGS)
    with taken(share, 3):
        time.sleep(SLOW)
        began = time.monotonic()
        with pytest.raises(UpstreamBusy) as refused, share.place():
            pass
        assert time.monotonic() - began < 0.1
    assert refused.value.headers["Retry-After"] == "1"
    assert refused.value.extra["may_have_been_executed"] is False
    with share.place():
        pass


def test_a_burst_that_is_worked_off_quickly_is_refused_nothing() -> None:
    share = Share("sales", SETTINGS)
    under_way, most, lock, refused = 0, 0, threading.Lock(), []

    def send() -> None:
        nonlocal under_way, most
        try:
            with share.place():
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                time.sleep(0.005)
                with lock:
                    under_way -= 1
        except UpstreamBusy as error:
            refused.append(error)

    threads = [threading.Thread(target=send) for _ in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (most, refused) == (3, [])


def test_nobody_waits_for_a_place_for_longer_than_a_quick_request_takes() -> None:
    share = Share("inventory", SETTINGS)
    with taken(share, 3):
        began = time.monotonic()
        with pytest.raises(UpstreamBusy), share.place():
            pass
        assert SLOW * 0.9 < time.monotonic() - began < SLOW + 0.3


def test_the_smallest_gateway_has_a_place_for_each_service() -> None:
    share = Share("inventory", replace(SETTINGS, gateway_threads=2))
    with share.place():
        pass
