"""The ready file is touched while a worker consumes, and left alone from the moment it does not."""

from types import SimpleNamespace

import pytest
from kombu.asynchronous.timer import Timer

from chassis.settings import Settings
from tasks import app


@pytest.fixture
def ready_file(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "settings", lambda: Settings(ready_file=str(tmp_path / "ready")))
    return tmp_path / "ready"


def test_a_worker_that_consumes_says_so_again_and_again(ready_file):
    consumer = SimpleNamespace(timer=Timer())
    app.Ready(consumer).start(consumer)
    assert ready_file.exists()
    ready_file.unlink()
    [scheduled] = consumer.timer.queue
    scheduled.entry()
    assert ready_file.exists()


def test_a_worker_that_lost_the_broker_no_longer_says_that_it_is_ready(ready_file):
    consumer = SimpleNamespace(timer=Timer())
    step = app.Ready(consumer)
    step.start(consumer)
    [scheduled] = consumer.timer.queue
    step.stop(consumer)
    assert scheduled.entry.canceled


def test_a_worker_that_never_reached_the_broker_stops_without_a_word(ready_file):
    step = app.Ready(SimpleNamespace())
    step.stop(SimpleNamespace())
    assert not ready_file.exists()
