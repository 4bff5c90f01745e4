"""What is measured, as far as the measuring knows it: a door for orders, a table of them, and processes.

It holds for Conveyor, for an older revision of it, and for the tutorial's pipeline: each takes ``POST /orders`` and has
a table ``orders`` with customer_id, status, created_at and updated_at.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from conveyor.bench.load import LoadFailed
from conveyor.bench.sql import connect

#: Statuses of an order that is on its way.
OPEN = ("Pending", "Confirmed", "Cancelling")
#: Seconds between two looks, and without an order that ends until we give up.
EVERY, PATIENCE = 0.25, 60.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One system: ``url`` takes its orders, ``database`` is the URL of the database with the table ``orders``.

    ``processes``: gives the pids of its processes by name; empty where they run elsewhere.
    """

    url: str
    database: str
    processes: Callable[[], Mapping[str, int]] = dict


@dataclass(slots=True)
class Ended:
    """What became of a customer's orders: how many by status, and when each was created and changed last.

    ``created`` and ``ended`` are sorted seconds since ``began``, all by the database's clock.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    created: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Ended orders each second, from the start to the last one's end."""
        return len(self.ended) / self.ended[-1] if self.ended and self.ended[-1] > 0 else 0.0


class Orders:
    """The table of orders, read on a connection of its own. A context manager; leaving it closes the connection."""

    def __init__(self, database: str) -> None:
        self._connection = connect(database)
        self._connection.autocommit = True

    def __enter__(self) -> "Orders":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def clock(self) -> float:
        """Seconds since 1970 by the database's clock."""
        return float(self._one("SELECT extract(epoch FROM clock_timestamp())"))

    def open(self, customer: str, began: float) -> int:
        """How many of this customer's orders since then are on their way.

        Orders on their way are few, and are found by their status: this is cheap in a table of any size.
        """
        query = "SELECT count(*) FROM orders WHERE status = ANY(%s) AND created_at >= to_timestamp(%s)"
        return int(self._one(query + " AND customer_id = %s", list(OPEN), began, customer))

    def wait(self, customer: str, began: float, seconds: float = PATIENCE) -> None:
        """Wait until none of them is on its way. Raises LoadFailed where none has ended for so many seconds."""
        least, since = self.open(customer, began), time.monotonic()
        while least:
            time.sleep(EVERY)
            now = self.open(customer, began)
            if now < least:
                least, since = now, time.monotonic()
            elif time.monotonic() - since > seconds:
                raise LoadFailed(f"{now:,} orders are on their way, and for {seconds:g} s none has ended")

    def wait_until_left(self, order_ids: Sequence[str], status: str, seconds: float) -> tuple[float, int]:
        """Wait until none of these orders is in this status any more, at most so many seconds for the next one.

        Gives when the last of them was changed, by the database's clock, and how many have not left.
        """
        left, since = list(order_ids), time.monotonic()
        while left and time.monotonic() - since < seconds:
            now = self._ids("SELECT id FROM orders WHERE id = ANY(%s::uuid[]) AND status = %s", left, status)
            if len(now) < len(left):
                since = time.monotonic()
            left = now
            time.sleep(EVERY if left else 0)
        query = "SELECT extract(epoch FROM max(updated_at)) FROM orders WHERE id = ANY(%s::uuid[])"
        return self._one(query, list(order_ids)), len(left)

    def of(self, customer: str, began: float) -> Ended:
        """What became of the orders of this customer since then."""
        ended = Ended()
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT status, extract(epoch FROM created_at), extract(epoch FROM updated_at) FROM orders"
                " WHERE customer_id = %s AND created_at >= to_timestamp(%s)",
                (customer, began),
            )
            for status, created, changed in cursor:
                ended.statuses[status] += 1
                ended.created.append(float(created) - began)
                if status not in OPEN:
                    ended.ended.append(float(changed) - began)
        ended.created.sort()
        ended.ended.sort()
        return ended

    def _ids(self, query: str, *values: object) -> list[str]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return [str(row[0]) for row in cursor]

    def _one(self, query: str, *values: object) -> float:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            row = cursor.fetchone()
            assert row is not None
            return float(row[0])
