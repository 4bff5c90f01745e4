"""Group commit: requests that arrive while another's transaction is under way share the next one.

A commit waits for the disk, whatever it holds. Name and idea are PostgreSQL's and InnoDB's, there one level down.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from chassis.errors import AppError
from chassis.few import Few
from chassis.together import Asked, Done, RowHeld, Together

_Asked = TypeVar("_Asked", contravariant=True)
_Done = TypeVar("_Done", covariant=True)


class Work(Protocol[_Asked, _Done]):
    """Does all of these in one transaction, set-wise: an answer or a refusal for each, in their order.

    A refusal has written nothing. Never commits. Unless ``wait``, a request whose row another transaction holds is left
    out and answered by RowHeld.
    """

    def __call__(
        self, session: Session, asked: Sequence[_Asked], /, *, wait: bool
    ) -> Sequence[_Done | AppError | RowHeld]: ...


#: Seconds that a transaction of several requests is followed by at most, until as many have come for the next. Without
#: it the groups get smaller the more web processes there are, and the more cores: a commit costs as much as ten orders.
LONGEST_GAP = 0.02


class GroupCommit(Together[Asked, Done]):
    """What one process's threads ask for at the same time, done in one transaction, answered once committed."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        work: Work[Asked, Done],
        size_of: Callable[[Asked], int],
        most: int,
        few: Few,
    ) -> None:
        """A transaction takes requests up to a total size of ``most``; one that is larger goes alone.

        Requests whose row is held wait for it in a transaction of their own, in one of the ``few`` places: connections
        and threads are left for all others.
        """

        def commit(group: list[Asked]) -> Sequence[Done | AppError | RowHeld]:
            with transaction(sessions) as session:
                return work(session, group, wait=False)

        def alone(asked: Asked) -> Done:
            with few.place(), transaction(sessions) as session:
                [outcome] = work(session, [asked], wait=True)
            if isinstance(outcome, AppError | RowHeld):
                raise outcome
            return outcome

        super().__init__(commit, size_of, most, LONGEST_GAP, alone)
