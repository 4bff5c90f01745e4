"""What a worker tells Flower about itself and its tasks: it leaves in bundles, and nothing ever waits for it."""

from typing import Any

from celery import bootsteps
from celery.app import events
from celery.events.dispatcher import EventDispatcher


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Sends an event at once or keeps it for the worker's next connection.

    Celery sends a worker's heartbeat again until it has left, in the thread that takes messages and acknowledges them.
    A worker whose connection broke at that moment stood still for good: it tried on the channel that was gone.
    """

    def send(self, type: str, blind: bool = False, retry: bool = False, **fields: Any) -> Any:
        """Celery's, without ``retry``: an event that cannot leave is kept, and the worker's loop sees the broken
        connection for itself."""
        return super().send(type, blind=blind, **fields)


class Events(events.Events):  # type: ignore[misc]
    """``app.events`` with our dispatcher."""

    dispatcher_cls = "tasks.events:Dispatcher"


class EventsTogether(bootsteps.StartStopStep):  # type: ignore[misc]
    """Task events, which Flower shows, leave together, a few times a second.

    Celery would wake its loop and send a message to the broker for nearly each of the three events of a task: unbundled
    that was a third of the work of the broker and of Flower, and it held up the task that had just been handed over.
    """

    requires = ("celery.worker.consumer.connection:Connection",)

    #: Seconds between two sendings.
    PAUSE = 0.25

    def __init__(self, consumer: Any, **_options: Any) -> None:
        consumer.on_send_event_buffered = lambda: None
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._timer = consumer.timer.call_repeatedly(self.PAUSE, self._send, (consumer,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._send(consumer)

    def _send(self, consumer: Any) -> None:
        if consumer.event_dispatcher and consumer.event_dispatcher.enabled:
            consumer.event_dispatcher.flush()
