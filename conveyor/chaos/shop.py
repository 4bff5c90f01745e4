"""What customers, couriers and an operator do, through the gateway and nothing else, and what they are told.

A request is sent, with the same idempotency key, until there is a definite answer: a success, or a refusal that names a
reason. "Not now" and no answer at all are neither. What was answered definitely is a promise, and is remembered.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from conveyor.chaos.errands import Errand, Errands
from conveyor.chaos.plans import Move, Plan, lines_of
from conveyor.client import JSON, Answer, Gateway, Refused, Unreachable, key_of
from conveyor.replay.prepare import Ids
from sales.status import DELIVERY_OF_STATUS, ENDED

STATUS_OF_MOVE = {delivery: status for status, delivery in DELIVERY_OF_STATUS.items()}
#: Seconds between two tries, and between two looks at an order that is not there yet.
PAUSE, LOOK_AGAIN = 0.5, 1.0
#: Seconds that one answer may take: longer than the gateway waits for a service.
TIMEOUT = 15.0
MOST_HANDS = 48

Again = Iterable[tuple[float, Errand]]


class NoAnswer(Exception):
    """The run is over, and this request has no definite answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """A definite answer: its status, and of a problem its code and the state it was refused from."""

    status: int
    code: str = ""
    state: str = ""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True)
class Known:
    """What a client knows about one order of its own."""

    plan: Plan
    key: str
    placed: Told | None = None
    order_id: str | None = None
    cancel: Told | None = None
    moves: list[tuple[Move, Told]] = field(default_factory=list)
    #: Answers that no client should ever see, whatever happens behind the gateway.
    surprises: list[Told] = field(default_factory=list)


def event_of(order: Known, station: int) -> str:
    """The courier's name for the scan at this station of the order's journey."""
    return f"{order.key}/{station}"


class Shop:
    """All clients of one run."""

    def __init__(self, url: str, run: str, planned: Sequence[Plan], ids: Ids) -> None:
        hands = min(MOST_HANDS, max(4, len(planned) // 10))
        self._gateway = Gateway(url, connections=hands, timeout=TIMEOUT)
        self._hands = hands
        self._ids = ids
        self._over = threading.Event()
        self._errands = Errands()
        self.known = [Known(plan, key_of(run, str(plan.number))) for plan in planned]

    def run(self, began: float, give_up_at: float) -> None:
        """Do all that is planned; ``began`` and ``give_up_at`` on the monotonic clock.

        A request without an answer by then stays without one.
        """
        self._give_up_at = give_up_at
        for each in self.known:
            self._errands.add(began + each.plan.at, partial(self._place, each))
        self._errands.run(self._hands)

    def stop(self) -> None:
        """Send nothing more."""
        self._over.set()
        self._errands.stop()

    @property
    def left(self) -> int:
        """Errands that are not done yet."""
        return self._errands.left

    def _place(self, order: Known) -> Again:
        customer = self._ids.customers[order.plan.invoice.customer]
        units = lines_of(order.plan.invoice.items)
        items = [{"product_id": self._ids.products[sku], "quantity": count} for sku, count in units.items()]
        body: JSON = {"customer_id": customer, "items": items}
        try:
            order.placed, answer = self._until_told(order, lambda: self._gateway.post("/orders", body, key=order.key))
        except NoAnswer:
            return
        if answer is None:
            return
        order.order_id = str(answer["id"])
        if order.plan.cancel_after is not None:
            yield order.plan.cancel_after, partial(self._cancel, order)
        if order.plan.journey:
            yield order.plan.journey[0].after, partial(self._move, order, 0)

    def _cancel(self, order: Known) -> Again:
        path = f"/orders/{order.order_id}/cancel"
        try:
            order.cancel, _ = self._until_told(order, lambda: self._gateway.post(path, {}))
        except NoAnswer:
            return ()
        return ()

    def _move(self, order: Known, station: int) -> Again:
        """Report where the parcel is, once there is one; a refusal ends the journey."""
        move = order.plan.journey[station]
        try:
            if not self._has_parcel(order):
                if self._ended_without_parcel(order):
                    return
                yield LOOK_AGAIN, partial(self._move, order, station)
                return
            told, _ = self._until_told(order, partial(self._report, order, station))
        except NoAnswer:
            return
        order.moves.append((move, told))
        if told.accepted and station + 1 < len(order.plan.journey):
            yield order.plan.journey[station + 1].after, partial(self._move, order, station + 1)

    def _report(self, order: Known, station: int) -> Answer:
        move = order.plan.journey[station]
        if move.by_operator:
            return self._gateway.patch(f"/orders/{order.order_id}/status", {"status": STATUS_OF_MOVE[move.to]})
        delivery = self._gateway.get(f"/deliveries/order/{order.order_id}").body["id"]
        scan: JSON = {"status": move.to, "event_id": event_of(order, station)}
        if move.occurred_at is not None:
            scan["occurred_at"] = move.occurred_at.isoformat()
        return self._gateway.patch(f"/deliveries/{delivery}/status", scan)

    def _has_parcel(self, order: Known) -> bool:
        told, _ = self._until_told(order, lambda: self._gateway.get(f"/deliveries/order/{order.order_id}"))
        return told.accepted

    def _ended_without_parcel(self, order: Known) -> bool:
        _, answer = self._until_told(order, lambda: self._gateway.get(f"/orders/{order.order_id}"))
        return answer is not None and answer["status"] in ENDED

    def _until_told(self, order: Known, send: Callable[[], Answer]) -> tuple[Told, Mapping[str, object] | None]:
        """The definite answer to a request that may be sent again, and its body if it is a success. Raises NoAnswer."""
        while time.monotonic() < self._give_up_at and not self._over.is_set():
            try:
                answer = send()
                return Told(answer.status), answer.body
            except Unreachable:
                pause = PAUSE
            except Refused as refusal:
                told = Told(refusal.status, refusal.code, str(refusal.problem.get("from", "")))
                if not refusal.passing:
                    order.surprises += [told] if told.status >= 500 else []
                    return told, None
                pause = max(PAUSE, refusal.retry_after)
            self._over.wait(pause)
        raise NoAnswer
