"""One order in hand in all three databases: its rows are locked, and what is found there stays so while it is mended.

Sales first, then inventory, then delivery. No process of ours holds a lock in one database while it waits in another,
so nobody can be waiting for us in a circle. What was mended is committed the other way round: sales, whose repairs send
messages, comes last.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database, transaction
from chassis.settings import Settings
from conveyor import SERVICES

_LOCKS = {
    "sales": (
        "SELECT FROM orders WHERE id = CAST(:order_id AS uuid) FOR UPDATE",
        "SELECT FROM order_sagas WHERE order_id = CAST(:order_id AS uuid) FOR UPDATE",
    ),
    "inventory": ("SELECT FROM reservations WHERE order_id = CAST(:order_id AS uuid) FOR UPDATE",),
    "delivery": ("SELECT FROM deliveries WHERE order_id = CAST(:order_id AS uuid) ORDER BY id FOR UPDATE",),
}


@dataclass(frozen=True, slots=True)
class OpenDatabases:
    """Sessions on the three databases; ``close`` closes their connections."""

    sessions: Mapping[str, sessionmaker[Session]]

    def close(self) -> None:
        for each in self.sessions.values():
            each.kw["bind"].dispose()


def open_databases(settings: Settings) -> OpenDatabases:
    """The three databases, by service. Nothing connects before the first statement. Raises SettingsError."""
    return OpenDatabases({service: open_database(service, settings) for service in SERVICES})


@dataclass(frozen=True, slots=True)
class Held:
    """An order whose rows nobody else changes; ``sales``, ``inventory`` and ``delivery`` are sessions."""

    sales: Session
    inventory: Session
    delivery: Session

    @contextmanager
    def reading(self, service: str) -> Iterator[Connection]:
        """The database as the repairs so far have left it, committed or not."""
        yield self.session(service).connection()

    def session(self, service: str) -> Session:
        found: Session = getattr(self, service)
        return found


class _Undo(Exception):
    """Leaves the transactions without a trace."""


@contextmanager
def in_hand(sessions: Mapping[str, sessionmaker[Session]], order_id: str, *, keep: bool) -> Iterator[Held]:
    """Take an order in hand; ``keep`` says whether what was done to it is committed at the end, or undone.

    Waits for whoever has it now, for as long as the databases' ``lock_timeout`` allows.
    """
    try:
        with ExitStack() as stack:
            opened = {service: stack.enter_context(transaction(sessions[service])) for service in SERVICES}
            for service, statements in _LOCKS.items():
                for statement in statements:
                    opened[service].execute(text(statement), {"order_id": order_id})
            yield Held(**opened)
            if not keep:
                raise _Undo
    except _Undo:
        return
