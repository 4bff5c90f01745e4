"""Task events of a worker leave together, at the pace of a timer, and none of them is forgotten at the end."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.heartbeat import Heart
from kombu import Connection
from kombu.asynchronous.timer import Timer

from tasks.app import app
from tasks.events import EventsTogether


class Dispatcher:
    """Celery's, as far as it counts: how often it was told to send what it has."""

    def __init__(self) -> None:
        self.enabled = True
        self.sent = 0

    def flush(self) -> None:
        self.sent += 1


@pytest.fixture
def consumer() -> Any:
    dispatcher = Dispatcher()
    return SimpleNamespace(timer=Timer(), event_dispatcher=dispatcher, on_send_event_buffered=dispatcher.flush)


def test_an_event_waits_for_the_timer(consumer):
    step = EventsTogether(consumer)
    step.start(consumer)
    consumer.on_send_event_buffered()
    assert consumer.event_dispatcher.sent == 0
    [scheduled] = consumer.timer.queue
    scheduled.entry()
    assert consumer.event_dispatcher.sent == 1


def test_while_the_broker_has_an_alarm_nothing_is_sent(consumer):
    step = EventsTogether(consumer)
    step.start(consumer)
    consumer.event_dispatcher.enabled = False
    [scheduled] = consumer.timer.queue
    scheduled.entry()
    assert consumer.event_dispatcher.sent == 0


def test_the_last_events_leave_before_the_worker_does(consumer):
    step = EventsTogether(consumer)
    step.start(consumer)
    [scheduled] = consumer.timer.queue
    step.stop(consumer)
    assert scheduled.entry.canceled
    assert consumer.event_dispatcher.sent == 1


def test_a_worker_that_sends_no_events_has_none_to_send(consumer):
    consumer.event_dispatcher = None
    step = EventsTogether(consumer)
    step.start(consumer)
    [scheduled] = consumer.timer.queue
    scheduled.entry()
    step.stop(consumer)


def test_a_worker_that_never_reached_the_broker_stops_without_a_word(consumer):
    EventsTogether(consumer).stop(consumer)
    assert consumer.event_dispatcher.sent == 0


class Channel:
    """A producer on a connection that breaks: what it was asked to send, and whether again and again."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.asked: list[tuple[str, bool]] = []

    def publish(self, event: dict[str, Any], *, retry: bool, **_options: Any) -> None:
        self.asked.append((event["type"], retry))
        if self.broken:
            raise ConnectionResetError


def dispatcher_on(channel: Channel) -> Any:
    dispatcher = app.events.Dispatcher(Connection("memory://"), hostname="sales@here")
    dispatcher.producer = channel
    return dispatcher


def test_a_heartbeat_whose_connection_breaks_is_kept_for_the_next_one_and_holds_nobody_up() -> None:
    broken, whole = Channel(broken=True), Channel(broken=False)
    before, after = dispatcher_on(broken), dispatcher_on(whole)
    heart = Heart(Timer(), before, interval=60)
    heart.start()
    assert broken.asked == [("worker-online", False)]
    after.extend_buffer(before)
    after.flush()
    assert whole.asked == [("worker-online", False)]
