"""A worker that is told to end does so in time, whatever it waits for.

Celery waits for the step at work for as long as it takes, and for each answer of a broker that reads nothing during an
alarm. Its cold shutdown (SIGQUIT, a second Ctrl-C) means to end the step, which no thread can be; it would neither end
nor consume. What is not acknowledged comes back and an open transaction is rolled back, so nothing is lost by not
waiting.
"""

import os
import signal
import threading
from typing import Any

import billiard  # type: ignore[import-untyped]
import structlog
from celery import signals

from chassis.logs import say_at_once
from chassis.settings import settings

log = structlog.get_logger()

#: Seconds. Less than anybody waits who tells a worker to end; a statement takes 15 at most.
ENDS_WITHIN = 17.0


@signals.worker_ready.connect(weak=False)
def _on_ready(**_signal: Any) -> None:
    signal.signal(signal.SIGQUIT, _end_at_once)


@signals.worker_shutting_down.connect(weak=False)
def _end_in_time(**_signal: Any) -> None:
    signal.signal(signal.SIGINT, _end_at_once)
    within = min(ENDS_WITHIN, settings().statement_timeout + 2)
    timer = threading.Timer(within, _end_late, (within,))
    timer.daemon = True
    timer.start()


def _end_late(after: float) -> None:
    log.error("worker_ends_with_work_in_hand", after=after, why="it was told to end and did not")
    _end()


def _end_at_once(_number: int, _frame: object) -> None:
    say_at_once(settings(), "worker", "worker: ends at once; what it has in hand goes to others")
    _end()


def _end() -> None:
    for child in billiard.active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(1)
