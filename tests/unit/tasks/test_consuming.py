"""Which queues a worker listens to, and in which turn RabbitMQ gives their messages out."""

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound

import celeryconfig
from tasks import app as workers


@pytest.fixture(autouse=True)
def own_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker changes how it consumes its queues; the table is for all tests of this process."""
    queues = [celeryconfig.work_queue(each.name) for each in celeryconfig.task_queues]
    monkeypatch.setattr(celeryconfig, "task_queues", queues)


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


@pytest.fixture
def fresh() -> Celery:
    app = Celery("conveyor")
    app.config_from_object(celeryconfig)
    return app


def test_a_queue_that_is_misspelt_is_neither_listened_to_nor_sent_to(fresh):
    with pytest.raises(KeyError):
        fresh.amqp.queues.select(["stock_reservation_queu"])
    for sent in ({"queue": "stock_reservation_queu"}, {}):
        with pytest.raises(QueueNotFound):
            fresh.amqp.router.route(sent, "inventory.no_such_task")


def test_control_otherwise_it_is_made_without_dead_letters_and_nobody_hears_of_it(fresh):
    fresh.conf.task_create_missing_queues = True
    fresh.amqp.queues.select(["stock_reservation_queu"])
    [made] = fresh.amqp.queues.consume_from.values()
    assert (made.name, made.queue_arguments) == ("stock_reservation_queu", None)
    assert fresh.amqp.router.route({}, "inventory.no_such_task")["queue"].name == "celery"
