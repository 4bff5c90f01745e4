"""What a worker lets in: only what is a message to a step reaches Celery's own reading of it.

Celery acknowledges, and so loses, a body that it cannot decode and a message that has expired; an envelope that it
does not foresee ends the worker, and then the next one; and an odd one more is never acknowledged nor given back. So a
message is looked at first, and one that is not of the kind that the relay sends goes to the dead letters, from where it
comes before people.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery import bootsteps

from celeryconfig import QUEUE_OF_TASK

log = structlog.get_logger()

#: Characters that an id may have: ours have 36, and an index of PostgreSQL takes no more than some 2,700.
LONGEST_ID = 255

#: Headers of Celery's that make it put a message aside, or throw it away. The saga's timers are columns.
_NEVER_SENT = ("eta", "expires")


def why_unreadable(message: Any) -> str | None:
    """Why this is no message to a step of ours, as part of a sentence; None where it is one. Decodes the body."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    task = headers.get("task")
    if not isinstance(task, str):
        return "it names no task"
    if task not in QUEUE_OF_TASK:
        return f"there is no task {task[:LONGEST_ID]}"
    if not is_id(headers.get("id")):
        return "its id is no text of a reasonable length"
    for name in _NEVER_SENT:
        if headers.get(name) is not None:
            return f"it has a header {name}, which no message here has"
    try:
        body = message.payload
    except Exception as error:
        return f"its body cannot be decoded: {error}"
    return _why_no_envelope(body)


def is_id(value: object) -> bool:
    """Whether a message may be known by this."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable()


def _why_no_envelope(body: Any) -> str | None:
    if not isinstance(body, list) or len(body) != 3:
        return "its body is not of three parts: arguments, keywords, what follows"
    args, keywords, follows = body
    if not isinstance(args, list) or keywords != {} or not isinstance(follows, dict):
        return "its body is not a list of arguments, no keywords, and what follows"
    chain = follows.get("chain") or []
    if not isinstance(chain, list) or not all(isinstance(each, dict) for each in chain):
        return "the links that follow are no links"
    for each in chain:
        if str(each.get("task")) not in QUEUE_OF_TASK:
            return f"a link that follows names no task of ours: {str(each.get('task'))[:LONGEST_ID]}"
    if any(value for name, value in follows.items() if name != "chain"):
        return "something other than links of a chain follows"
    return None


class Admission(bootsteps.StartStopStep):  # type: ignore[misc]
    """Stands before Celery's reading of messages; dead-letters what it could not read."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.on_decode_error = partial(_reject, consumer)
        consumer.create_task_handler = partial(_guarded, consumer, consumer.create_task_handler)


def _guarded(consumer: Any, create: Callable[[], Callable[[Any], None]]) -> Callable[[Any], None]:
    celerys = create()
    broker_errors = (*consumer.connection_errors, *consumer.channel_errors)

    def on_message(message: Any) -> None:
        why = why_unreadable(message)
        if why is not None:
            _reject(consumer, message, why)
            return
        try:
            celerys(message)
        except broker_errors:
            raise
        except Exception as error:
            if message.acknowledged:
                raise
            _reject(consumer, message, error)

    return on_message


def _reject(consumer: Any, message: Any, why: object) -> None:
    log.error("unreadable_message", why=str(why), content_type=message.content_type)
    message.reject_log_error(logging.getLogger(__name__), consumer.connection_errors)
