"""``Prefer: wait=N`` (RFC 7240): hold an answer until the order's saga has ended, N seconds at most.

Subscribe first, then wait, read, and wait again: whatever is announced from then on is heard. What was announced before
that, or is lost on its way into Redis, is found by reading the order anyway: after a moment, then every few seconds;
without Redis more often.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from chassis.cache import Cache
from chassis.errors import CacheAway, Unavailable
from chassis.settings import Settings
from gateway_app.upstream import Answer, Request, Upstream

#: The longest wait (seconds) that a client may ask for.
LONGEST_WAIT = 30

#: Seconds before the order is read for the first time: at once it would be under way still, and be slowed down by that.
FIRST_PAUSE = 0.25
#: How often (seconds) it is read by one who listens, and by one who cannot: the first and the longest pause.
LISTENING_PAUSE = 2.0
POLLING_PAUSE, LONGEST_POLLING_PAUSE = 0.05, 1.0

#: An order with one of these is under way; with any other nothing happens until somebody asks for it.
UNDER_WAY = ("Pending", "Cancelling")

Wait = Callable[[float], bool]


class OrderState(msgspec.Struct):
    """What the gateway looks at in an order, or in a request to move one; the rest passes by unread."""

    status: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a waiting client waits for."""

    seconds: int
    order_id: str
    #: The status that the client asked for, when it moves a parcel.
    status: str | None = None


def state_in(body: bytes) -> OrderState:
    """The order in a service's answer, or in a request that the service accepted."""
    return msgspec.json.decode(body, type=OrderState)


def seconds_to_wait(prefer: str | None) -> int | None:
    """N of the first ``wait=N`` in a Prefer header, 30 at most; None when there is none. A bad value is ignored."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            number = value.strip().strip('"')
            seconds = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
            return min(seconds, LONGEST_WAIT) or None
    return None


class Waiting:
    """The clients that wait for an order's end, each with a thread of this process."""

    def __init__(self, cache: Cache, orders: Upstream, settings: Settings) -> None:
        """At most half of the gateway's threads wait; who comes then is answered at once."""
        self._cache = cache
        self._orders = orders
        self._read_timeout = settings.upstream_timeout
        self._places = threading.BoundedSemaphore(settings.gateway_threads // 2)
        #: Set when the process is asked to stop: then nobody is held any longer.
        self.stopping = threading.Event()

    def hold(self, answer: Answer, wish: Wish, headers: dict[str, str]) -> Answer:
        """The answer with the order as it is once its saga has ended, or when the time is up.

        202 becomes 200 when it has ended. The answer as it is where no place is free or the order cannot be read.
        """
        if not self._places.acquire(blocking=False):
            return answer
        try:
            order, ended = (answer, True) if _ended(answer, wish) else self._wait(answer, wish, headers)
        finally:
            self._places.release()
        if order is None:
            return answer
        status = 200 if ended and answer.status == 202 else answer.status
        applied = {"Preference-Applied": f"wait={wish.seconds}"}
        return Answer(status, {**answer.headers, **order.headers, **applied}, order.body)

    def _wait(self, answer: Answer, wish: Wish, headers: dict[str, str]) -> tuple[Answer | None, bool]:
        """The order as it was read last, and whether its saga has ended."""
        first_pause = 0.0 if "Idempotent-Replayed" in answer.headers else FIRST_PAUSE
        deadline = time.monotonic() + wish.seconds
        order, ended = None, False
        with self._listening(wish.order_id) as wait:
            announced = wait(first_pause)
            while True:
                left = deadline - time.monotonic()
                newest = self._read(wish.order_id, headers, min(max(left, 1.0), self._read_timeout))
                if newest is not None:
                    order, ended = newest, _ended(newest, wish, announced)
                if ended or left <= 0 or self.stopping.is_set():
                    return order, ended
                announced = wait(left) or announced

    def _read(self, order_id: str, headers: dict[str, str], timeout: float) -> Answer | None:
        try:
            answer = self._orders.send(Request("GET", f"/orders/{order_id}", headers), timeout)
        except Unavailable:
            return None  # sales may be back before the time is up
        return answer if answer.status == 200 else None

    @contextmanager
    def _listening(self, order_id: str) -> Iterator[Wait]:
        """Yields ``wait(most)``: true when something was announced, false when it is time to read again anyway."""
        poll = _polling()
        with ExitStack() as stack:
            try:
                hear: Wait = stack.enter_context(self._cache.listening(order_id))
            except CacheAway:
                hear = poll

            def wait(most: float) -> bool:
                try:
                    return hear(min(most, LISTENING_PAUSE))
                except CacheAway:
                    return poll(most)

            yield wait


def _polling() -> Wait:
    """Nothing can be heard: pauses that grow."""
    pause = POLLING_PAUSE

    def wait(most: float) -> bool:
        nonlocal pause
        threading.Event().wait(min(most, pause))
        pause = min(pause * 2, LONGEST_POLLING_PAUSE)
        return False

    return wait


def _ended(order: Answer, wish: Wish, announced: bool = False) -> bool:
    """Whether nothing more happens to the order by itself.

    A parcel's move may be refused, and the order is then as it was before: what tells is the announcement.
    """
    status = state_in(order.body).status
    return status not in UNDER_WAY and (wish.status is None or wish.status == status or announced)
