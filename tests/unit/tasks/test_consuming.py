"""Which queues a worker listens to, and in which turn RabbitMQ gives their messages out."""

from celery import Celery

import celeryconfig
from tasks import app as workers


def consumers_of(service: str) -> dict[str, int]:
    """The queues that a new worker of this service consumes, and the priority that it asks for."""
    fresh = Celery("conveyor")
    fresh.config_from_object(celeryconfig)
    given, workers.app = workers.app, fresh
    try:
        consumed = workers.consuming(service).amqp.queues.consume_from
    finally:
        workers.app = given
    return {name: queue.consumer_arguments["x-priority"] for name, queue in consumed.items()}


def test_a_worker_listens_to_its_own_services_queues_only():
    assert sorted(consumers_of("sales")) == celeryconfig.queues_of("sales")


def test_the_worker_that_has_been_there_for_longer_comes_first():
    older, younger = consumers_of("inventory"), consumers_of("inventory")
    assert all(older[name] > younger[name] for name in older)
    assert all(-(2**63) <= priority < 0 for priority in younger.values())
