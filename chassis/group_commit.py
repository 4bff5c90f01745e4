"""Group commit: requests that arrive while another's transaction is under way share the next one.

A commit waits for the disk, whatever it holds. Name and idea are PostgreSQL's and InnoDB's, there one level down.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from chassis.errors import AppError
from chassis.together import Asked, Done, Together

#: Does all of these in one transaction, set-wise: an answer or a refusal for each, in their order. A refusal has
#: written nothing. Never commits.
Work = Callable[[Session, list[Asked]], Sequence[Done | AppError]]


#: Seconds that a transaction of several requests is followed by at most, until as many have come for the next. Without
#: it the groups get smaller the more web processes there are, and the more cores: a commit costs as much as ten orders.
LONGEST_GAP = 0.02


class GroupCommit(Together[Asked, Done]):
    """What one process's threads ask for at the same time, done in one transaction, answered once committed."""

    def __init__(
        self, sessions: sessionmaker[Session], work: Work[Asked, Done], size_of: Callable[[Asked], int], most: int
    ) -> None:
        """A transaction takes requests up to a total size of ``most``; one that is larger goes alone."""

        def commit(group: list[Asked]) -> Sequence[Done | AppError]:
            with transaction(sessions) as session:
                return work(session, group)

        super().__init__(commit, size_of, most, LONGEST_GAP)
