"""How many orders may be under way at once: beyond that new ones are refused, so that no queue grows without end.

Counted once a second for each web process, and not for each request: what is accepted in that second comes on top. The
count reads an index that has the orders under way and no others, and stops at the limit.
"""

import threading
import time

from sqlalchemy import text
from sqlalchemy.orm import Session

#: How long (seconds) a count is taken to be what it was.
FRESH_FOR = 1.0

_COUNT = text("SELECT count(*) FROM (SELECT FROM order_sagas WHERE deadline IS NOT NULL LIMIT :most) AS under_way")


class Backlog:
    """The orders under way, as one process sees them. Any number of threads may ask."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._full = False
        self._fresh_until = 0.0
        self._counting = threading.Lock()

    def is_full(self, session: Session) -> bool:
        """Are as many orders under way as there may be? Raises the database's errors."""
        if time.monotonic() >= self._fresh_until and self._counting.acquire(blocking=False):
            try:
                self._full = session.execute(_COUNT, {"most": self.most}).scalar_one() >= self.most
                self._fresh_until = time.monotonic() + FRESH_FOR
            finally:
                self._counting.release()
        return self._full
