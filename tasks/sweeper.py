"""The sweeper: finds orders that stopped moving, and moves them on.

It looks at the database only, and what it sends are outbox rows; so it works whatever the broker is doing. Each part of
a round is a transaction of its own. Any number of sweepers may work at once.
"""

import signal
import threading
import time
from uuid import UUID

import structlog
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import Fault, fault_of, open_database, transaction
from chassis.ready import TOUCH_EVERY, say_not_ready, say_ready
from chassis.settings import Settings
from sales import sweeping

log = structlog.get_logger()


class Sweeper:
    """``round()`` looks once at all orders; ``run()`` does so again and again until it is asked to stop."""

    def __init__(self, sessions: sessionmaker[Session], settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings
        self._forgotten: dict[str, UUID | None] = {}
        self._stopping = threading.Event()

    def round(self) -> sweeping.Swept:
        """Move on what has stopped, ask after silent parcels, forget old keys. Raises the database's errors."""
        with transaction(self._sessions) as session:
            sweeping.put_clock_right(session)
        with transaction(self._sessions) as session:
            swept = sweeping.move_on(session)
        with transaction(self._sessions) as session:
            asked = sweeping.ask_delivery(session)
        for table in sweeping.KEYED:
            with transaction(self._sessions) as session:
                after = sweeping.forget_old_keys(session, table, self._forgotten.get(table.name))
            self._forgotten[table.name] = after
        if swept.resent or swept.flagged or asked:
            log.info("swept", resent=swept.resent, lost=swept.lost, flagged=swept.flagged, delivery_asked=asked)
        return swept

    def run(self) -> None:
        """Work until ``stop()``. While the database cannot serve, wait for it."""
        while not self._stopping.is_set():
            served = True
            try:
                self.round()
            except Exception as error:
                if fault_of(error) is Fault.OTHER:
                    raise
                log.warning("database_away", error=str(error))
                say_not_ready(self._settings, "its database is away")
                served = False
            self._rest(served)

    def stop(self) -> None:
        """Finish the round and leave ``run()``."""
        self._stopping.set()

    def _rest(self, served: bool) -> None:
        until = time.monotonic() + self._settings.sweep_every
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            if served:
                say_ready(self._settings)
            self._stopping.wait(min(left, TOUCH_EVERY))


def run_sweeper(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT."""
    sweeper = Sweeper(open_database("sales", settings), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: sweeper.stop())
    log.info("sweeper_started", every=settings.sweep_every)
    sweeper.run()
