"""How many orders may be under way at once: beyond that new ones are refused, so that no queue grows without end.

A count gives out room: as much as is asked for, and up to a hundredth of the limit to be used without another count,
for a second. So the orders are counted about once a second, and once for each hundredth of the limit. One process does
not go beyond the limit; of several, each but the first may, by a hundredth.

That is room which another process had taken, and not yet stored, when one counted. Where a transaction may hold more
orders than a hundredth of the limit, whoever counts waits until those who counted before have committed.

The count reads an index that has the orders under way and no others, and stops at the limit.
"""

import threading
import time

from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.outbox import MOST_ORDERS

#: How long (seconds) room may be used that was counted.
FRESH_FOR = 1.0

#: How long nothing is counted while there is no room: seconds at least, and times of what the count took.
FULL_FOR = 0.05
FULL_TIMES = 20

#: Any number will do, as long as every process uses the same one; given back with the transaction.
_IN_TURN = text("SELECT pg_advisory_xact_lock(7203115)")

_COUNT = text("SELECT count(*) FROM (SELECT FROM order_sagas WHERE deadline IS NOT NULL LIMIT :most) AS under_way")


class Backlog:
    """The orders under way, as one process sees them. Any number of threads may ask."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = 0
        self._full = False
        self._good_until = 0.0
        self._lock = threading.Lock()

    def take(self, session: Session, wanted: int, *, in_turn: bool = True) -> int:
        """Room for so many new orders, or for as many of them as there is. Raises the database's errors.

        A transaction that may wait for rows later does not count ``in_turn``: all others would wait with it.
        """
        with self._lock:
            if time.monotonic() < self._good_until and (self._full or wanted <= self._left):
                taken = 0 if self._full else wanted
                self._left -= taken
                return taken
            return self._count(session, wanted, in_turn)

    def _count(self, session: Session, wanted: int, in_turn: bool) -> int:
        if in_turn and self.most // 100 < MOST_ORDERS:
            session.execute(_IN_TURN)
        began = time.monotonic()
        room: int = self.most - session.execute(_COUNT, {"most": self.most}).scalar_one()
        ended = time.monotonic()
        taken = min(room, wanted)
        self._left = min(room - taken, self.most // 100)
        self._full = room == taken
        self._good_until = ended + (max(FULL_FOR, FULL_TIMES * (ended - began)) if self._full else FRESH_FOR)
        return taken
