"""The Celery app, and what each worker process does when it starts.

``celery -A tasks.inventory worker -P threads -c 1`` works with nothing else said: it consumes inventory's queues only.
"""

import time
from typing import Any

import msgspec
import structlog
from celery import Celery, bootsteps, signals
from celery.exceptions import WorkerShutdown
from kombu import serialization
from kombu.utils import json as kombu_json

import celeryconfig
from chassis.logs import configure_logs, say_at_once
from chassis.settings import settings
from tasks import topology
from tasks.admission import Admission

log = structlog.get_logger()

# By name: only workers load it.
app = Celery("conveyor", events="tasks.events:Events")
app.config_from_object(celeryconfig)

# Celery reads each body twice. Kombu's own reader calls a function for every object in it, and lets NaN and half of a
# surrogate pair through, which no relay could hand on.
serialization.register("json", kombu_json.dumps, msgspec.json.decode, "application/json", "utf-8")


def consuming(service: str) -> Celery:
    """The app, listening to this service's queues only, behind the workers that have been there for longer.

    With one table of all queues, a worker started without ``-Q`` would consume them all, and dead-letter the messages
    of its neighbours as unknown tasks.

    RabbitMQ gives a message to the first consumer that has room for one more (its consumer priorities). So a worker
    takes what the older ones have no hands for, instead of every second bundle: idle, it costs nothing, and theirs is
    the warm cache.
    """
    app.amqp.queues.select(celeryconfig.queues_of(service))
    for queue in app.amqp.queues.consume_from.values():
        queue.consumer_arguments = {"x-priority": -time.time_ns()}
        # `conveyor topology` declares. A worker that did so too could not work beside one whose release has other
        # arguments for the same queue.
        queue.no_declare = True
    return app


class TopologyCheck(bootsteps.StartStopStep):  # type: ignore[misc]
    """A worker on a broker without our queues ends with a clear line, instead of declaring half of them."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        try:
            topology.check(consumer.connection)
        except topology.TopologyMissing as error:
            log.critical("topology_missing", error=str(error))
            raise WorkerShutdown(78) from error


app.steps["consumer"].add(TopologyCheck)
app.steps["consumer"].add(Admission)
# By name: only workers load them.
app.steps["consumer"].add("tasks.events:EventsTogether")
app.steps["consumer"].add("tasks.intake:Intake")
app.steps["consumer"].add("tasks.alarm:Alarm")


@signals.celeryd_init.connect(weak=False)
def _say_lines_only(instance: Any, **_signal: Any) -> None:
    """Celery's own command line has a banner, which would be the only lines of a worker that are not logs, and warns
    before it asks for logs to be set up."""
    configure_logs(settings(), "worker")
    instance.quiet = True


@signals.setup_logging.connect(weak=False)
def _configure_logs(**_signal: Any) -> None:
    configure_logs(settings(), "worker")
    # What Celery says in the handlers of signals it would print as it is. (Loaded by workers anyway, and by no relay.)
    from celery.apps import worker as celerys_worker

    import tasks.ending  # noqa: F401 - connects itself

    celerys_worker.safe_say = lambda words, *_file: say_at_once(settings(), "worker", words)
