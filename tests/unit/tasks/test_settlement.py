"""What a worker tells the broker of a message when the work on it ends in another way than by our step's own word.

Celery's own request is asked, with our delivery policy, and with each of its lines taken out.
"""

from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.worker.request import Request
from kombu.message import Message
from uuid_utils.compat import uuid7

import celeryconfig


def check(_orders: list[Any]) -> None:
    """A step, in which nothing goes on here."""


class Settlements:
    """A message to a step, under a delivery policy, and what the broker is told of it."""

    def __init__(self, **policy: object) -> None:
        app = Celery("conveyor")
        app.config_from_object(celeryconfig)
        app.conf.update(result_backend=None, **policy)
        task = app.task(check, name="inventory.check_availability")
        made = app.amqp.create_task_message(str(uuid7()), task.name, args=([],), kwargs={}, ignore_result=True)
        self.told: list[str] = []
        message = Message(made.body, "tag", headers=made.headers)
        settled = {"on_ack": self._acknowledged, "on_reject": self._rejected}
        self.request = Request(message, app=app, task=task, body=made.body, decoded=True, **settled)

    def _acknowledged(self, *_: Any) -> None:
        self.told.append("done")

    def _rejected(self, _log: Any, _errors: Any, requeue: bool) -> None:
        self.told.append("again" if requeue else "dead letter")

    def fails(self) -> list[str]:
        """The step has raised what it should not."""
        return self._ends(RuntimeError("a fault that cannot be recorded"))

    def loses_its_process(self) -> list[str]:
        """The pool's process that worked on it was killed, as with ``-P prefork``."""
        return self._ends(WorkerLostError("signal 9"))

    def takes_too_long(self) -> list[str]:
        """Somebody has started the worker with a time limit."""
        self.request.on_timeout(soft=False, timeout=1)
        return self.told

    def _ends(self, error: Exception) -> list[str]:
        try:
            raise error
        except Exception:
            self.request.on_failure(ExceptionInfo())
        return self.told


def test_what_raises_is_dead_lettered() -> None:
    assert Settlements().fails() == ["dead letter"]


def test_what_lost_its_process_comes_again() -> None:
    assert Settlements().loses_its_process() == ["again"]


def test_what_was_cut_off_is_not_done() -> None:
    assert Settlements().takes_too_long() in (["again"], ["dead letter"])


@pytest.mark.parametrize("off", ["task_acks_late", "task_acks_on_failure"])
def test_control_otherwise_what_raises_counts_as_done(off: str) -> None:
    policy = {off: not getattr(celeryconfig, off)}
    assert "dead letter" not in Settlements(**policy).fails()


def test_control_otherwise_what_lost_its_process_is_no_more_than_dead() -> None:
    assert Settlements(task_reject_on_worker_lost=False).loses_its_process() == ["dead letter"]
    assert Settlements(task_acks_on_failure=True, task_reject_on_worker_lost=False).loses_its_process() == ["done"]


def test_control_otherwise_what_was_cut_off_is_done() -> None:
    assert Settlements(task_acks_on_timeout=True).takes_too_long() == ["done"]
