"""Orders that are looked for at the same moment are found by one statement, each for the one who asked for it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.reading import ReadTogether
from tests.integration.pipeline.processes import wait_until
from tests.integration.sales.conftest import Shop


@pytest.fixture
def orders(shop: Shop) -> list[dict[str, Any]]:
    """Six, one of which nobody has placed and one that is asked for twice."""
    placed = [shop.place(delivery_address=f"{number} High Street") for number in range(4)]
    return [*placed, {"id": str(uuid7())}, placed[1]]


def test_each_gets_the_order_he_asked_for(shop: Shop, orders: list[dict[str, Any]]) -> None:
    with counted_reads(shop) as reads:
        answers = read_at_once(shop, orders)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 200]
    assert [answer.json for answer in answers if answer.status_code == 200] == [
        each for each in orders if "customer_id" in each
    ]
    assert orders[4]["id"] in answers[4].json["detail"]
    assert len(reads) == 2, "the first one alone, and then all that had come meanwhile"


def read_at_once(shop: Shop, orders: list[dict[str, Any]]) -> list[Any]:
    """The answers; the table is locked until the first one's statement waits for it, and the others for the first."""
    showing: ReadTogether[Any, Any] = shop.http.application.extensions["showing"]

    def ask(order: dict[str, Any]) -> Any:
        return shop.http.application.test_client().get(f"/orders/{order['id']}")

    with ThreadPoolExecutor(len(orders)) as clients:
        with transaction(shop.sessions) as session:
            session.execute(text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"))
            first = clients.submit(ask, orders[0])
            await_statement(shop)
            others = [clients.submit(ask, each) for each in orders[1:]]
            wait_until(lambda: len(showing._waiting) == len(others))
        return [each.result(30) for each in (first, *others)]


@contextmanager
def counted_reads(shop: Shop) -> Iterator[list[str]]:
    """The statements that read orders meanwhile."""
    engine, seen = shop.sessions.kw["bind"], list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "FROM order_items" in statement:
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def await_statement(shop: Shop) -> None:
    """Until somebody waits for the table."""
    waits = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass"
    wait_until(lambda: shop.rows(waits)[0].waiting == 1)
