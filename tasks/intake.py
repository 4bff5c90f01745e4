"""What a worker consumes at the moment, and whether it is at work.

It lets its queues go while its database is away: it could only hand back what it takes, and another worker may reach
the database. It lets one queue go for ``conveyor topology``, which moves queues that a release before has made.
"""

import threading
import time
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state

from chassis.ready import TOUCH_EVERY, say_not_ready, say_ready
from chassis.settings import settings
from tasks.patience import absence

log = structlog.get_logger()

#: Seconds between two looks.
LOOK_EVERY = 1.0
#: Seconds that a step may be at work until its worker is said to hang. A statement ends after fifteen.
HANGS_AFTER = 60.0
#: Seconds for which a queue is let go. Whoever wants it for longer asks again; whoever died does not.
LET_GO_FOR = 30.0
#: The control commands (tasks/moving.py sends them).
LET_GO, TAKE_AGAIN = "conveyor_let_go", "conveyor_take_again"


class Intake(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumes the worker's queues, or lets them go; and says that the worker is ready for as long as it works.

    While the broker is away, or a step or the loop hangs, it does not.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_options: Any) -> None:
        _register_commands()
        consumer.intake = self
        self._consumer = consumer
        #: Queues that are let go, and until when.
        self._lent: dict[str, float] = {}
        self._timer: Any = None
        self._asking = threading.Thread()
        self._said = -TOUCH_EVERY
        self._why: str | None = None

    def start(self, consumer: Any) -> None:
        # Before what is handed back can come again.
        absence.on_begin = lambda: consumer.call_soon(self._consume)
        self._said = -TOUCH_EVERY
        self._look()
        self._timer = consumer.timer.call_repeatedly(LOOK_EVERY, self._look)

    def stop(self, _consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        say_not_ready(settings(), "it does not consume: the broker is away, or it is ending")

    def let_go(self, queue: str) -> None:
        """Take nothing more from this queue for a while; what was taken is worked on."""
        self._lent[queue] = time.monotonic() + LET_GO_FOR
        self._consumer.call_soon(self._consume)

    def take_again(self, queue: str) -> None:
        self._lent.pop(queue, None)
        self._consumer.call_soon(self._consume)

    def _look(self) -> None:
        """In the loop's thread, or in a timer's: the database is asked in one that may wait, and what has to do with
        the broker is left to the loop."""
        now = time.monotonic()
        for queue in [queue for queue, until in self._lent.items() if until < now]:
            self._lent.pop(queue, None)
        if absence.lasts() and not self._asking.is_alive():
            self._asking = threading.Thread(target=absence.look, name="ask-database", daemon=True)
            self._asking.start()
        if self._consumer.task_consumer is not None and self._wanted() != self._consumed():
            self._consumer.call_soon(self._consume)
        self._say(now)

    def _wanted(self) -> set[str]:
        ours = {*self._consumer.app.amqp.queues.consume_from}
        return set() if absence.lasts() else ours - self._lent.keys()

    def _consumed(self) -> set[str]:
        consumer = self._consumer.task_consumer
        return {queue for queue in self._consumer.app.amqp.queues.consume_from if consumer.consuming_from(queue)}

    def _consume(self) -> None:
        consumer = self._consumer.task_consumer
        if consumer is None:
            return
        wanted, consumed = self._wanted(), self._consumed()
        for queue in consumed - wanted:
            consumer.cancel_by_queue(queue)
        for queue in wanted - consumed:
            consumer.add_queue(self._consumer.app.amqp.queues[queue])
        if wanted - consumed:
            consumer.consume()
        if wanted != consumed:
            log.warning("consumes", queues=sorted(wanted), instead_of=sorted(consumed))

    def _say(self, now: float) -> None:
        why = self._why_not()
        if why is None and (self._why is not None or now - self._said >= TOUCH_EVERY):
            say_ready(settings())
            self._said = now
        elif why is not None:
            if self._why is None:
                log.error("worker_does_not_work", why=why)
            say_not_ready(settings(), why)
        self._why = why

    def _why_not(self) -> str | None:
        if absence.noticed:
            return "its database is away"
        began = [each.time_start for each in tuple(state.active_requests) if each.time_start]
        if began and (longest := time.time() - min(began)) > HANGS_AFTER:
            return f"a step has been at work for {longest:.0f} s"
        return None


def _register_commands() -> None:
    """Here, since only workers load what Celery's commands need."""
    from celery.worker.control import control_command

    @control_command(name=LET_GO, args=[("queue", str)])
    def _let_go(state: Any, queue: str) -> None:
        state.consumer.intake.let_go(queue)

    @control_command(name=TAKE_AGAIN, args=[("queue", str)])
    def _take_again(state: Any, queue: str) -> None:
        state.consumer.intake.take_again(queue)
