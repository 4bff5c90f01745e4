"""Room for new orders is counted once for several, and never given out twice."""

from typing import Any, Self

from sales.backlog import Backlog


class Database:
    """Knows how many orders are under way."""

    def __init__(self, under_way: int) -> None:
        self.under_way = under_way

    def execute(self, *_statement: Any) -> Self:
        return self

    def scalar_one(self) -> int:
        return self.under_way


def test_what_was_counted_is_given_out_once() -> None:
    database, backlog = Database(198), Backlog(200)
    taken = []
    for _ in range(4):
        taken.append(backlog.take(database, 1))  # type: ignore[arg-type]
        database.under_way += taken[-1]
    assert taken == [1, 1, 0, 0]
