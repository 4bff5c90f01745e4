"""Is what a process depends on there? Answered within two seconds, whatever is silent, and at next to no cost.

Each dependency is looked at by a thread of its own, once at a time however many ask, and what was found counts for a
second. One that does not answer in time is down, and is not asked a second time before it has answered the first.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy.orm import Session, sessionmaker

from chassis.cache import Cache
from chassis.errors import AppError
from chassis.settings import Settings

log = structlog.get_logger()

#: Says in a word what is wrong with a dependency, None when nothing is; what it raises is wrong, too.
Check = Callable[[], str | None]

#: How long (seconds) what was found counts, and how long anybody is kept waiting for it.
FRESH_FOR = 1.0
PATIENCE = 1.5

OK = "ok"


class Readiness:
    """What one process depends on. Any number of threads may ask."""

    def __init__(self, checks: Mapping[str, Check], needed: Iterable[Collection[str]] | None = None) -> None:
        """The process is of use while of each group in ``needed`` one is there; by default each is needed.

        Without the others it works less well.
        """
        self._looks = {name: _Look(name, check) for name, check in checks.items()}
        self._needed = [{name} for name in checks] if needed is None else [set(group) for group in needed]

    def states(self, fresh_for: float = FRESH_FOR) -> dict[str, str]:
        """For each dependency "ok", or a word about what is wrong; nothing of it older than ``fresh_for`` seconds."""
        deadline = time.monotonic() + PATIENCE
        for each in self._looks.values():
            each.begin(fresh_for)
        return {name: each.state(deadline) for name, each in self._looks.items()}

    def is_of_use(self, down: Collection[str]) -> bool:
        """Can the process do anything at all without these?"""
        return not any(group <= set(down) for group in self._needed)


class _Look:
    """One dependency, and what was found when somebody looked."""

    def __init__(self, name: str, check: Check) -> None:
        self._name = name
        self._check = check
        self._lock = threading.Lock()
        self._seen = threading.Event()
        self._began = -1e9
        self._state = OK
        self._looking = False

    def begin(self, fresh_for: float) -> None:
        """Look, unless somebody does, or did within ``fresh_for`` seconds."""
        with self._lock:
            if self._looking or (self._seen.is_set() and time.monotonic() - self._began < fresh_for):
                return
            self._looking, self._began = True, time.monotonic()
            self._seen.clear()
        threading.Thread(target=self._look, name=f"look-at-{self._name}", daemon=True).start()

    def state(self, deadline: float) -> str:
        """What was found, at the latest by then (``time.monotonic``)."""
        return self._state if self._seen.wait(max(deadline - time.monotonic(), 0.0)) else "silent"

    def _look(self) -> None:
        try:
            wrong = self._check()
        except AppError as error:
            wrong = error.code
        except Exception as error:
            wrong = "down"
            log.warning("dependency_down", dependency=self._name, error=str(error))
        with self._lock:
            self._state = wrong or OK
            self._looking = False
            self._seen.set()


def database_check(sessions: sessionmaker[Session]) -> Check:
    """Does the database answer? On a connection of its own: no check waits for requests, and none of them for it."""
    places = sessions.kw["bind"].pool.recreate()

    def check() -> None:
        connection: Any = places.connect()
        try:
            connection.cursor().execute("SELECT 1")
        except BaseException:
            connection.invalidate()
            raise
        finally:
            connection.close()

    return check


def redis_check(settings: Settings) -> dict[str, Check]:
    """Does Redis answer? Nothing to ask where there is none."""
    if not settings.redis_url:
        return {}
    return {"redis": answering(Cache(settings.redis_url, settings.redis_timeout))}


def answering(cache: Cache) -> Check:
    """Does this Redis answer?"""

    def check() -> None:
        cache.command("PING")

    return check
