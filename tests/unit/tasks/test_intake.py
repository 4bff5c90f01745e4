"""A worker says that it is ready while it works, and why it does not; it lets its queues go and takes them again."""

import os
import time
from types import SimpleNamespace

import pytest
from celery.worker import state
from kombu.asynchronous.timer import Timer

from chassis.ready import OLD_AFTER, say_not_ready, say_ready, why_not_ready
from chassis.settings import Settings
from tasks import intake
from tasks.intake import HANGS_AFTER, LET_GO_FOR, Intake
from tasks.patience import Absence


class Consumer:
    """As much of Celery's as an intake knows of."""

    def __init__(self):
        self.timer = Timer()
        self.consumed = {"a", "b"}
        self.task_consumer = self
        self.app = SimpleNamespace(amqp=SimpleNamespace(queues=Queues(a="a", b="b")))

    def call_soon(self, work):
        work()

    def consuming_from(self, queue):
        return queue in self.consumed

    def cancel_by_queue(self, queue):
        self.consumed.discard(queue)

    def add_queue(self, queue):
        self.consumed.add(queue)

    def consume(self):
        """What was added is consumed already."""


class Queues(dict):
    consume_from = property(lambda self: self)


@pytest.fixture
def absence(monkeypatch):
    absence = Absence()
    absence.look = lambda: None
    monkeypatch.setattr(intake, "absence", absence)
    return absence


@pytest.fixture
def ready_file(tmp_path, monkeypatch, absence):
    monkeypatch.setattr(intake, "settings", lambda: Settings(ready_file=str(tmp_path / "ready")))
    return tmp_path / "ready"


@pytest.fixture
def consumer(ready_file):
    consumer = Consumer()
    Intake(consumer).start(consumer)
    return consumer


def look(consumer):
    consumer.intake._look()  # as its timer does


def test_a_worker_that_consumes_says_so(consumer, ready_file):
    assert why_not_ready(ready_file) is None


def test_a_worker_that_lost_the_broker_says_so_and_looks_no_more(consumer, ready_file):
    [scheduled] = consumer.timer.queue
    consumer.intake.stop(consumer)
    assert scheduled.entry.canceled
    assert "it does not consume" in why_not_ready(ready_file)
    assert time.time() - ready_file.stat().st_mtime > OLD_AFTER


def test_a_step_that_has_been_at_work_for_too_long_is_told(consumer, ready_file, monkeypatch):
    monkeypatch.setattr(state, "active_requests", [SimpleNamespace(time_start=time.time() - HANGS_AFTER - 5)])
    look(consumer)
    assert why_not_ready(ready_file) == f"a step has been at work for {HANGS_AFTER + 5:.0f} s"
    monkeypatch.setattr(state, "active_requests", [])
    look(consumer)
    assert why_not_ready(ready_file) is None


def test_without_its_database_it_lets_everything_go(consumer, ready_file, absence):
    absence.noticed = True
    absence.begins(object())
    assert consumer.consumed == set()
    look(consumer)
    assert why_not_ready(ready_file) == "its database is away"
    absence.ends()
    look(consumer)
    assert consumer.consumed == {"a", "b"}


def test_one_queue_is_let_go_until_it_is_taken_again(consumer):
    consumer.intake.let_go("a")
    assert consumer.consumed == {"b"}
    consumer.intake.take_again("a")
    assert consumer.consumed == {"a", "b"}


def test_who_lets_a_queue_go_and_hears_nothing_more_takes_it_again(consumer, monkeypatch):
    consumer.intake.let_go("a")
    look(consumer)
    assert consumer.consumed == {"b"}
    later = time.monotonic() + LET_GO_FOR + 1
    monkeypatch.setattr(intake.time, "monotonic", lambda: later)
    look(consumer)
    assert consumer.consumed == {"a", "b"}


def test_a_ready_file_that_nobody_touches_says_for_how_long(tmp_path):
    ready = tmp_path / "ready"
    settings = Settings(ready_file=str(ready))
    assert why_not_ready(ready) == "starting"
    say_not_ready(settings, "the broker is away")
    assert why_not_ready(ready) == "the broker is away"
    say_ready(settings)
    assert why_not_ready(ready) is None
    os.utime(ready, (time.time() - 100, time.time() - 100))
    assert why_not_ready(ready) == "nothing heard of it for 100 s"
