"""The threads of a web process: so many, and so much that waits for one."""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

#: How many requests wait for a thread at most.
MOST_WAITING = 1_024
#: Seconds without a single answer, while requests wait, after which the threads count as stuck: no request may take
#: that long (``Prefer: wait`` and all time-outs of what is asked end before).
STUCK_AFTER = 60.0


class Full(Exception):
    """So many requests wait for a thread that this one cannot."""


class Threads:
    """Does blocking work for an event loop. Only the loop's own thread may call it.

    What the standard library's executor adds for each piece of work, futures with locks, is a tenth of a small request.
    """

    def __init__(self, count: int, most_waiting: int = MOST_WAITING) -> None:
        self._count, self._most = count, count + most_waiting
        self._begun = self._under_way = 0
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._last_ended = time.monotonic()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What the work returns or raises. Raises Full."""
        if self._under_way >= self._most:
            raise Full
        if not self._under_way:
            self._last_ended = time.monotonic()
        self._under_way += 1
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = work(*arguments)
            except BaseException as error:
                failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
                loop.call_soon_threadsafe(self._end, outcome, None, failure)
            else:
                loop.call_soon_threadsafe(self._end, outcome, result, None)

        self._jobs.put(job)
        if self._begun < min(self._under_way, self._count):
            self._begun += 1
            threading.Thread(target=self._work, name=f"web-{self._begun}", daemon=True).start()
        return await outcome

    def stuck(self) -> bool:
        """Whether requests wait and none has been answered for long."""
        return self._under_way > self._count and time.monotonic() - self._last_ended > STUCK_AFTER

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _end(self, outcome: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
        self._under_way -= 1
        self._last_ended = time.monotonic()
        if outcome.done():  # nobody waits for it any more
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)
