"""How many orders may be under way at once: beyond that new ones are refused, so that no queue grows without end.

A count gives out room: as much as is asked for, and up to a hundredth of the limit to be used without another count,
for a second. So the orders are counted about once a second, and once for each hundredth of the limit. One process does
not go beyond the limit; of several, each may by what it had taken, and not yet stored, when another one counted: a
hundredth of the limit, or the orders of one transaction.

The count reads an index that has the orders under way and no others, and stops at the limit.
"""

import threading
import time

from sqlalchemy import text
from sqlalchemy.orm import Session

#: How long (seconds) room may be used that was counted.
FRESH_FOR = 1.0

#: How long nothing is counted while there is no room: seconds at least, and times of what the count took.
FULL_FOR = 0.05
FULL_TIMES = 20

_COUNT = text("SELECT count(*) FROM (SELECT FROM order_sagas WHERE deadline IS NOT NULL LIMIT :most) AS under_way")


class Backlog:
    """The orders under way, as one process sees them. Any number of threads may ask."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = 0
        self._full = False
        self._good_until = 0.0
        self._lock = threading.Lock()

    def take(self, session: Session, wanted: int) -> int:
        """Room for so many new orders, or for as many of them as there is. Raises the database's errors."""
        with self._lock:
            if time.monotonic() < self._good_until and (self._full or wanted <= self._left):
                taken = 0 if self._full else wanted
                self._left -= taken
                return taken
            return self._count(session, wanted)

    def _count(self, session: Session, wanted: int) -> int:
        began = time.monotonic()
        room: int = self.most - session.execute(_COUNT, {"most": self.most}).scalar_one()
        ended = time.monotonic()
        taken = min(room, wanted)
        self._left = min(room - taken, self.most // 100)
        self._full = room == taken
        self._good_until = ended + (max(FULL_FOR, FULL_TIMES * (ended - began)) if self._full else FRESH_FOR)
        return taken
