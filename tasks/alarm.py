"""What a worker does while RabbitMQ has an alarm: it reads nothing on a connection on which something was published.

A worker publishes events and answers of control commands only. Events are left out until the alarm is over: they would
fill the connection's buffers, and then stop the worker. And an end waits for no answer on such a connection.
"""

from typing import Any

import structlog
from celery import bootsteps
from kombu import Connection

from celeryconfig import STAND_IN

log = structlog.get_logger()


class Alarm(bootsteps.StartStopStep):  # type: ignore[misc]
    """Listens for it on both connections of a worker."""

    requires = ("celery.worker.consumer.tasks:Tasks", "celery.worker.consumer.events:Events")

    def __init__(self, _consumer: Any, **_options: Any) -> None:
        #: The connections that the broker does not read.
        self._blocked: list[Connection] = []

    def start(self, consumer: Any) -> None:
        self._blocked = []
        if STAND_IN:
            return
        dispatcher = consumer.event_dispatcher
        self._listen(consumer.connection)
        if dispatcher and dispatcher.connection:
            self._listen(dispatcher.connection, dispatcher)

    def _listen(self, connection: Connection, dispatcher: Any = None) -> None:
        enabled = dispatcher is not None and dispatcher.enabled

        def on_blocked(_reason: str) -> None:
            log.error("broker_alarm", error="the broker has an alarm (its disk or its memory is full)")
            self._blocked.append(connection)
            if enabled:
                dispatcher.enabled = False

        def on_unblocked() -> None:
            log.warning("broker_alarm_over")
            self._blocked.remove(connection)
            if enabled:
                dispatcher.enabled = True

        connection.connection.on_blocked = on_blocked
        connection.connection.on_unblocked = on_unblocked

    def stop(self, _consumer: Any) -> None:
        for connection in self._blocked:
            connection.collect(socket_timeout=1)
        self._blocked = []
