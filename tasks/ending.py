"""A worker that is told to end does so in time, whatever it waits for.

Celery waits for the step at work for as long as it takes, and for each answer of a broker that reads nothing during an
alarm. What is not acknowledged comes back, so nothing is lost by not waiting.
"""

import os
import signal
import threading
from typing import Any

import billiard  # type: ignore[import-untyped]
import structlog
from celery import signals

from chassis.settings import settings

log = structlog.get_logger()

#: Seconds. Less than anybody waits who tells a worker to end; a statement takes 15 at most.
ENDS_WITHIN = 17.0


@signals.worker_shutting_down.connect(weak=False)
def _end_in_time(**_signal: Any) -> None:
    within = min(ENDS_WITHIN, settings().statement_timeout + 2)
    timer = threading.Timer(within, _end, (within,))
    timer.daemon = True
    timer.start()


def _end(after: float) -> None:
    log.error("worker_ends_with_work_in_hand", after=after, why="it was told to end and did not")
    for child in billiard.active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(1)
