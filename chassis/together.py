"""Requests that arrive while another's work is under way are worked on together, next.

Set-based SQL costs little more for ten rows than for one. So the first request that finds nobody at work leads: it
takes everything that waits, itself included, does it at once, and hands the lead to the first of those that have come
meanwhile. After a group of several the next leader may give as many the time to come again. Alone, a request waits for
nobody.

A group never waits for a row that another transaction holds: whoever needs it does that part of the work himself, once
the group is done with and others lead, and he alone waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from chassis.database import Fault, fault_of
from chassis.errors import AppError, ConveyorError

Asked = TypeVar("Asked")
Done = TypeVar("Done")


class RowHeld(ConveyorError):
    """Another transaction holds a row that this request needs; nothing was done for it."""


#: Does all of these, or where it raises none of them: an answer or a refusal for each, in their order.
Work = Callable[[list[Asked]], Sequence[Done | AppError | RowHeld]]


class _Turn(Generic[Asked, Done]):
    """One request's place in the line."""

    def __init__(self, asked: Asked, size: int) -> None:
        self.asked = asked
        self.size = size
        self.outcome: Done | BaseException | None = None
        self.leads = False
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> None:
        """Until there is an outcome, or it is this one's turn to lead."""
        self._called.acquire()

    def call(self) -> None:
        self._called.release()


class Together(Generic[Asked, Done]):
    """What one process's threads ask for at the same time, done together. Any number of threads may ask."""

    def __init__(
        self,
        work: Work[Asked, Done],
        size_of: Callable[[Asked], int],
        most: int,
        longest_gap: float = 0.0,
        alone: Callable[[Asked], Done] | None = None,
    ) -> None:
        """A group has a total size of ``most`` at most; a request that is larger goes alone.

        A group follows one of several as soon as it is of the same size, at the latest after ``longest_gap`` seconds.
        ``alone`` does one request's work, and waits for the row that it needs.
        """
        self._work = work
        self._alone = alone
        self._size_of = size_of
        self._most = most
        self._longest_gap = longest_gap
        self._lock = threading.Lock()
        self._waiting: deque[_Turn[Asked, Done]] = deque()
        self._waiting_size = 0
        self._led = False
        #: The size of the group before, whether that much waits, and until when to wait for it.
        self._usual = 0
        self._enough = threading.Event()
        self._patient_until = 0.0

    def __call__(self, asked: Asked) -> Done:
        """This request's answer. Raises its refusal, and what the work raised."""
        turn: _Turn[Asked, Done] = _Turn(asked, self._size_of(asked))
        with self._lock:
            self._waiting.append(turn)
            self._waiting_size += turn.size
            if self._waiting_size >= self._usual:
                self._enough.set()
            turn.leads, self._led = not self._led, True
        if not turn.leads:
            turn.wait()
        if turn.leads:
            self._lead()
        if self._alone is not None and isinstance(turn.outcome, RowHeld):
            return self._alone(asked)
        if isinstance(turn.outcome, BaseException):
            raise turn.outcome
        return turn.outcome  # type: ignore[return-value]

    def _lead(self) -> None:
        pause = self._patient_until - time.monotonic()
        if pause > 0:
            self._enough.wait(pause)
        group = self._next_group()
        try:
            self._settle(group)
        finally:
            self._patient_until = time.monotonic() + self._longest_gap if len(group) > 1 else 0.0
            with self._lock:
                successor = self._waiting[0] if self._waiting else None
                self._led = successor is not None
                if successor is not None:
                    successor.leads = True
            for each in group:
                each.call()
            if successor is not None:
                successor.call()

    def _next_group(self) -> list[_Turn[Asked, Done]]:
        """The leader, who is first in the line, and whoever fits in beside it."""
        with self._lock:
            group = [self._waiting.popleft()]
            size = group[0].size
            while self._waiting and size + self._waiting[0].size <= self._most:
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._waiting_size -= size
            self._usual = size
            if self._waiting_size < size:
                self._enough.clear()
        return group

    def _settle(self, group: list[_Turn[Asked, Done]]) -> None:
        """Give each its outcome. What is wrong with one of them is no fate of the others: then each goes alone."""
        try:
            outcomes: list[Done | BaseException] = [*self._work([each.asked for each in group])]
        except BaseException as error:
            fault = fault_of(error) if isinstance(error, Exception) else Fault.AWAY
            if len(group) > 1 and fault in (Fault.AGAIN, Fault.OTHER):
                for each in group:
                    self._settle([each])
                return
            # Which of them needs the row that is held is not known: each finds out for himself.
            outcomes = [RowHeld() if fault is Fault.HELD and self._alone else error] * len(group)
        for each, outcome in zip(group, outcomes, strict=True):
            each.outcome = outcome
