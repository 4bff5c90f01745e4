"""An order's events as they come."""

import time
from collections.abc import Iterator

from chassis.errors import ConveyorError
from conveyor.client import JSON, Gateway

#: Something is under way for an order that is this.
OPEN = frozenset({"Pending", "Cancelling"})
#: Seconds between two looks: the first, doubled after each look without news up to the last.
PAUSES = (0.05, 1.0)


class StillOpen(ConveyorError):
    """The order has not ended in the time that there was."""


def follow(gateway: Gateway, order_id: str, *, patience: float) -> Iterator[JSON]:
    """Each event of an order, once, until the order has ended.

    Raises StillOpen when ``patience`` seconds have passed before that, GatewayError.
    """
    deadline = time.monotonic() + patience
    told, pause = 0, PAUSES[0]
    while True:
        # The order first: an event is written together with its status, so the events that follow are then complete.
        status = gateway.get(f"/orders/{order_id}").body["status"]
        events = list(gateway.every(f"/orders/{order_id}/events"))
        yield from events[told:]
        pause = PAUSES[0] if len(events) > told else min(2 * pause, PAUSES[1])
        told = len(events)
        if status not in OPEN:
            return
        if time.monotonic() >= deadline:
            raise StillOpen(f"order {order_id} is still {status} after {patience:g} s")
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
