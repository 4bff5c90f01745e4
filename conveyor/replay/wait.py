"""Has every order ended, and when?

An order's timeline says when it ended, by the clock of the database that also says when it was placed. So how often
this asks does not change what it measures, and it can afford to ask seldom: those sent first are asked for first, a
round ends once it has met a handful of open ones, and rounds without news become rarer.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from conveyor.client import Gateway
from conveyor.parallel import each
from conveyor.replay.send import Sent

#: An order in one of these has not ended.
OPEN = frozenset({"Pending", "Cancelling"})
#: Seconds between two rounds: the shortest pause, doubled after each round without news up to the longest.
PAUSES = (0.2, 2.0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the placing of an order ended: the status it got first, the reason if it was refused, and when."""

    status: str
    reason: str
    at: datetime


def endings(
    gateway: Gateway,
    orders: Iterable[Sent],
    *,
    patience: float,
    concurrency: int,
    pauses: tuple[float, float] = PAUSES,
) -> Iterator[tuple[str, Ending]]:
    """Each of these orders by id and how it ended, as that becomes known.

    Stops once all have ended, or none has for ``patience`` seconds. Raises GatewayError.
    """
    waiting = deque(order.order_id for order in orders)
    quiet_since, pause = time.monotonic(), pauses[0]
    while waiting:
        ended = _round(gateway, waiting, concurrency)
        yield from ended.items()
        if ended:
            quiet_since, pause = time.monotonic(), pauses[0]
        elif time.monotonic() - quiet_since >= patience:
            return
        if waiting:
            time.sleep(pause)
            pause = min(2 * pause, pauses[1])


def _round(gateway: Gateway, waiting: deque[str], concurrency: int) -> dict[str, Ending]:
    """Ask for waiting orders until ``concurrency`` were still open; those go to the end of the line."""
    ended: dict[str, Ending] = {}
    left, still_open = len(waiting), 0
    while left and still_open < concurrency:
        asked = [waiting.popleft() for _ in range(min(left, 4 * concurrency))]
        left -= len(asked)
        found = dict(each(partial(_look, gateway), asked, concurrency))
        for order_id in asked:
            outcome = found[order_id]
            if outcome is None:
                waiting.append(order_id)
                still_open += 1
            else:
                ended[order_id] = outcome
    return ended


def _look(gateway: Gateway, order_id: str) -> tuple[str, Ending | None]:
    found = ending(gateway.every(f"/orders/{order_id}/events"))
    if found and found.status == "Rejected":
        # The timeline tells the reason in a sentence, the order has the code that can be counted.
        order = gateway.get(f"/orders/{order_id}").body
        found = replace(found, reason=order["reason"] or found.reason)
    return order_id, found


def ending(events: Iterable[Mapping[str, Any]]) -> Ending | None:
    """How an order's placing ended, None while the order is open.

    An order that was delivered or cancelled later is told by the status that it got first.
    """
    moves = sorted((event for event in events if event.get("to_status")), key=lambda event: str(event["at"]))
    if not moves or moves[-1]["to_status"] in OPEN:
        return None
    first = next(event for event in moves if event["to_status"] not in OPEN)
    return Ending(first["to_status"], first.get("reason") or "", datetime.fromisoformat(first["at"]))
