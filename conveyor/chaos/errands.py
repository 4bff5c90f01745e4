"""Errands: things to do at their time, by a few hands, each of which may lead to more."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable

#: Something to do; it returns what is to be done so many seconds later.
Errand = Callable[[], Iterable[tuple[float, "Errand"]]]


class Errands:
    """Errands in the order of their time, done by threads until none is left.

    The first exception of an errand ends all of it and comes out of ``run``.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Errand]] = []
        self._numbers = itertools.count()  # two errands of one moment are not compared
        self._changed = threading.Condition()
        self._at_work = 0
        self._failure: BaseException | None = None
        self._stopped = False

    def add(self, at: float, errand: Errand) -> None:
        """``at`` on the monotonic clock."""
        with self._changed:
            heapq.heappush(self._waiting, (at, next(self._numbers), errand))
            self._changed.notify()

    def run(self, hands: int) -> None:
        """Do all errands with so many threads. Raises what an errand raised."""
        threads = [
            threading.Thread(target=self._work, name=f"errands-{number}", daemon=True) for number in range(hands)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin no more errands."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def left(self) -> int:
        """How many errands wait or are being done."""
        with self._changed:
            return len(self._waiting) + self._at_work

    def _work(self) -> None:
        while (errand := self._next()) is not None:
            try:
                more = list(errand())
            except BaseException as error:
                self._failure = self._failure or error
                self.stop()
                more = []
            for after, each in more:
                self.add(time.monotonic() + after, each)
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _next(self) -> Errand | None:
        """The next errand, at its time; None when all is done."""
        with self._changed:
            while not self._stopped and (self._waiting or self._at_work):
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    self._at_work += 1
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(left)
            return None
