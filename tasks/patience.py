"""Database work that waits while the database cannot serve, instead of failing its message.

For a row that somebody holds nobody waits for long: what is behind it would wait too.

A database that restarts dead-letters nothing: the message is kept, and handed back when the wait gets too long or the
worker is asked to stop. That is no fault of the message's, so it does not count as an attempt at it. A worker that has
handed one back takes no other until its database serves again (tasks/intake.py): another worker may reach it.
"""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import NoReturn, TypeVar

import structlog
from celery import signals
from celery.exceptions import Reject
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from celeryconfig import STAND_IN, VISIBILITY_TIMEOUT
from chassis.attempts import forget_attempts
from chassis.cache import Cache
from chassis.database import Fault, fault_of, open_database, transaction
from chassis.settings import settings
from chassis.together import RowHeld

log = structlog.get_logger()
Result = TypeVar("Result")

#: Work that met a deadlock or a serialization failure is done again this often before it is handed back.
REPEATS = 3
#: Seconds between two tries while the database is away: the first, and the longest.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

#: For so many seconds after a row was found held this process waits only so long for others: many messages may need it.
WARY_FOR, WARY = 30.0, text("SET LOCAL lock_timeout = '200ms'")

#: Set when the worker is asked to stop: whoever waits hands its message back at once.
stopping = threading.Event()


@signals.worker_shutting_down.connect(weak=False)
def _stop_waiting(**_signal: object) -> None:
    stopping.set()


class Absence:
    """Whether this process's database is away: for now, or for longer than a message is kept."""

    def __init__(self) -> None:
        #: Somebody waits for it.
        self.noticed = False
        #: Called as soon as it is away for too long, in the thread that has noticed.
        self.on_begin: Callable[[], None] = lambda: None
        self._away: sessionmaker[Session] | None = None

    def begins(self, sessions: sessionmaker[Session]) -> None:
        """The wait for it was too long."""
        if self._away is None:
            self._away = sessions
            self.on_begin()

    def ends(self) -> None:
        """It has served somebody."""
        self.noticed, self._away = False, None

    def lasts(self) -> bool:
        """Whether it was away for too long, and has not served anybody since."""
        return self._away is not None

    def look(self) -> None:
        """Ask it again, where it was away for too long."""
        if self._away is None:
            return
        try:
            with transaction(self._away) as session:
                session.execute(text("SELECT 1"))
        except Exception as error:
            log.warning("database_away", error=str(error))
            return
        self.ends()


absence = Absence()


@cache
def sessions_of(service: str) -> sessionmaker[Session]:
    """Sessions on the service's database, opened on first use: after a fork, where the pool of workers forks."""
    config = settings()
    cache_ = Cache(config.redis_url, config.redis_timeout) if config.redis_url else None
    return open_database(service, config, cache=cache_)


class Patience:
    """Runs one message's work in transactions. Each call raises what the work raised, or Reject: handed back."""

    _wary_until = 0.0

    def __init__(self, message_id: str, sessions: sessionmaker[Session]) -> None:
        self._message_id = message_id
        self._sessions = sessions
        # The stand-in broker gives a message to another worker when it was not acknowledged in time.
        longest = VISIBILITY_TIMEOUT / 2 if STAND_IN else float("inf")
        self._until = time.monotonic() + min(longest, settings().database_wait)

    def for_rows(self, work: Callable[[Session], Result]) -> Result:
        """Run work that needs rows of its orders. Raises RowHeld where another transaction holds one."""

        def warily(session: Session) -> Result:
            if time.monotonic() < Patience._wary_until:
                session.execute(WARY)
            return work(session)

        return self(warily, waits_for_rows=False)

    def __call__(self, work: Callable[[Session], Result], *, waits_for_rows: bool = True) -> Result:
        pause, repeats = SHORTEST_PAUSE, 0
        while True:
            try:
                with transaction(self._sessions) as session:
                    done = work(session)
                absence.ends()
                return done
            except Exception as error:
                fault = fault_of(error)
                if fault is Fault.HELD and not waits_for_rows:
                    Patience._wary_until = time.monotonic() + WARY_FOR
                    log.warning("row_held", message_id=self._message_id)
                    raise RowHeld from error
                match fault:
                    case Fault.OTHER:
                        raise
                    case Fault.AGAIN:
                        repeats += 1
                        if repeats > REPEATS:
                            self._hand_back(error)
                    case Fault.AWAY | Fault.HELD:
                        log.warning("database_away", message_id=self._message_id, error=str(error))
                        self._wait(pause, error, fault)
                        pause = min(pause * 2, LONGEST_PAUSE)

    def _wait(self, pause: float, error: Exception, fault: Fault) -> None:
        late = time.monotonic() > self._until
        if fault is Fault.AWAY:
            absence.noticed = True
            if late:
                absence.begins(self._sessions)
        if late or absence.lasts() or stopping.wait(pause):
            self._hand_back(error)

    def _hand_back(self, error: Exception) -> NoReturn:
        try:
            with transaction(self._sessions) as session:
                forget_attempts(session, self._message_id)
        except Exception as still:
            log.warning("attempts_not_forgotten", message_id=self._message_id, error=str(still))
        log.warning("message_handed_back", message_id=self._message_id, error=str(error))
        raise Reject(str(error), requeue=True) from error
