"""How a process is made to die at one exact moment. Imported only by the tests' own subprocesses; never shipped.

``die(point, file, work, moment)`` says when: ``work`` is the piece of work that must be under way (``in_request``,
``in_step``, ``in_call``, ``in_transaction_of``, ``anywhere``), ``moment`` is where in it (``after_writing``,
``before_commit``, ``after_commit``, ``before_call``, ``after_call``, ``before_acknowledgement``).

Commits are seen through SQLAlchemy's events, writes through the SQL that is sent. So most of this knows tables and
transactions, and few names of our code.
"""

import functools
import itertools
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

Now = Callable[[], bool]
Hook = Callable[[], None]

_WRITES = re.compile(r"\b(?:INSERT INTO|DELETE FROM|(?<!FOR )(?<!DO )UPDATE)\s+\"?(\w+)")


class Here(threading.local):
    """What this thread is doing."""

    session: Session | None = None
    message: Any = None
    calls: int = 0
    wrote: bool = False
    #: A message is being worked on, and has taken the path that is looked for.
    entered: bool = False
    #: That work is over.
    ended: bool = False


here = Here()


def die(point: str, file: str, work: Now, moment: Callable[[Hook], None]) -> None:
    """Die with exit code 137, as if killed, when the moment comes in this work; ``file`` gets the point's name."""

    def hook() -> None:
        if work():
            with Path(file).open("a") as evidence:
                evidence.write(point)
            os._exit(137)

    moment(hook)


def anywhere() -> bool:
    return True


def in_request(endpoint: str) -> Now:
    """While this Flask endpoint handles a request."""
    from flask import has_request_context, request

    return lambda: has_request_context() and request.endpoint == endpoint


def in_call(owner: Any, name: str) -> Now:
    """While this function runs."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        here.calls += 1
        try:
            return original(*args, **kwargs)
        finally:
            here.calls -= 1

    setattr(owner, name, call)
    return lambda: here.calls > 0


def in_transaction_of(owner: Any, name: str, wanted: Callable[..., bool] = lambda *_: True) -> Now:
    """From the call of ``owner.name(session, ...)`` until the session's transaction has ended."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(session: Session, *args: Any, **kwargs: Any) -> Any:
        if wanted(*args):
            here.session, here.entered = session, True
        return original(session, *args, **kwargs)

    setattr(owner, name, call)
    return lambda: here.session is not None and here.session.in_transaction()


def in_step(task: str, kind: str, path: str = "_perform") -> Now:
    """While a worker does this with a message of this task whose first order is of this kind.

    ``path`` is a function of ``tasks.step``: ``_perform``, ``_split``, ``_record_fault``, ``count_attempt``,
    ``forget_attempts``.
    """
    import tasks.step as step

    work = step.work

    @functools.wraps(work)
    def remembered(message: Any, *args: Any) -> None:
        here.message, here.session, here.entered, here.ended = message, None, False, False
        work(message, *args)

    step.work = remembered

    def ours(*_: Any) -> bool:
        return here.message.task == task and here.message.bundle[0].get("kind") == kind

    under_way = in_transaction_of(step, path, ours)
    return lambda: under_way() or here.ended


def after_writing(table: str) -> Callable[[Hook], None]:
    """A statement that changes rows of this table has been answered."""

    def moment(hook: Hook) -> None:
        def executed(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if table in _WRITES.findall(statement):
                hook()

        event.listen(Engine, "after_cursor_execute", executed)

    return moment


def before_commit(hook: Hook) -> None:
    """Everything is written, and the transaction is about to be committed; only of one that changes something."""
    _at_commit("before_commit", hook)


def after_commit(hook: Hook) -> None:
    """PostgreSQL has confirmed the commit, and nothing was done since."""
    _at_commit("after_commit", hook)


def after_commits(count: int) -> Callable[[Hook], None]:
    """So many commits are confirmed: of a process that commits in several databases, one after the other."""

    def moment(hook: Hook) -> None:
        seen = itertools.count(1)
        _at_commit("after_commit", lambda: hook() if next(seen) == count else None)

    return moment


def _at_commit(name: str, hook: Hook) -> None:
    def executed(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        here.wrote = here.wrote or bool(_WRITES.search(statement))

    def began(*_: Any) -> None:
        here.wrote = False

    def committing(session: Session) -> None:
        if here.wrote and not session.in_nested_transaction():
            hook()

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Session, "after_begin", began)
    event.listen(Session, name, committing)


def before_acknowledgement(hook: Hook) -> None:
    """A step's work is over, and the worker is about to acknowledge the message, or to reject it."""
    import tasks.step as step

    def over() -> None:
        here.ended = here.entered
        hook()

    after_call(step, "work")(over)


def before_call(owner: Any, name: str) -> Callable[[Hook], None]:
    """This function is about to be called."""
    return functools.partial(_around, owner, name, before=True)


def after_call(owner: Any, name: str) -> Callable[[Hook], None]:
    """This function has ended, one way or the other."""
    return functools.partial(_around, owner, name, before=False)


def _around(owner: Any, name: str, hook: Hook, *, before: bool) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if before:
            hook()
        try:
            return original(*args, **kwargs)
        finally:
            if not before:
                hook()

    setattr(owner, name, call)
