"""A step reads the rows of its own orders: however many others there are, it takes home none of theirs.

What it reads too much would change no answer. It would cost each order more with every order that there ever was.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from inventory import queries
from tests.integration.saga.paper_broker import World

#: An order of one line has one row in any table, and two events at once at most.
MOST = 2


@contextmanager
def rows_read(*databases: sessionmaker[Session]) -> Iterator[dict[str, int]]:
    """How many rows the statements on these have returned or changed, by their text."""
    read: dict[str, int] = {}

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        read[statement] = max(read.get(statement, 0), cursor.rowcount)

    with ExitStack() as ending:
        for each in databases:
            event.listen(each.kw["bind"], "after_cursor_execute", note)
            ending.callback(event.remove, each.kw["bind"], "after_cursor_execute", note)
        yield read


@pytest.fixture
def others(world: World) -> list[UUID]:
    """Orders that went the whole way before, one of which was cancelled again."""
    ended = [world.place((world.add_product(stock=1), 1)) for _ in range(3 * MOST)]
    world.settle()
    world.cancel(ended[0])
    world.settle()
    return ended


@pytest.mark.usefixtures("others")
def test_an_order_that_is_placed_twice_and_cancelled_reads_no_row_of_others(world: World) -> None:
    with rows_read(*world.sessions.values()) as read:
        order = world.place((world.add_product(stock=1), 1))
        world.mail *= 2  # a copy finds what the first one has decided
        world.settle()
        world.cancel(order)
        world.settle()
    assert world.status(order) == "Cancelled"
    assert {statement: rows for statement, rows in read.items() if rows > MOST} == {}


def test_a_page_of_a_list_reads_one_row_more_than_it_shows(world: World, others: list[UUID]) -> None:
    inventory = world.sessions["inventory"]
    with rows_read(inventory) as read, transaction(inventory) as session:
        assert queries.list_products(session, sort="created_at", limit=MOST, cursor=None)["next_cursor"]
        # The opening stock, what the order took, and what its cancel gave back.
        assert queries.list_movements(session, world.products[0], limit=1, cursor=None)["next_cursor"]
    assert max(read.values()) == MOST + 1
    assert [rows for statement, rows in read.items() if "FROM stock_movements" in statement] == [2]
