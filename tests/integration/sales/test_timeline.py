"""Events are numbered by order and kind, and a chain ends once."""

from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from chassis.database import transaction
from sales.timeline import Event, Kind, add_events, close_sagas, last_number
from tests.integration.sales.conftest import Shop


def test_the_last_number_is_that_of_this_order_and_this_kind(shop: Shop, sales_sessions: sessionmaker[Session]) -> None:
    order, other = UUID(shop.place()["id"]), UUID(shop.place()["id"])
    numbers = [(order, Kind.RESUMED, 2), (order, Kind.REPLAYED, 5), (other, Kind.RESUMED, 7)]
    with transaction(sales_sessions) as session:
        add_events(session, [Event(each, kind, number, "ada") for each, kind, number in numbers])
        assert last_number(session, order, Kind.RESUMED) == 2
        assert last_number(session, other, Kind.REPLAYED) == 0


def test_a_chain_that_has_ended_keeps_the_moment_of_its_end(shop: Shop, sales_sessions: sessionmaker[Session]) -> None:
    order = shop.place()
    for at_last_step in (True, False):
        with transaction(sales_sessions) as session:
            close_sagas(session, [UUID(order["id"])], at_last_step=at_last_step)
        if at_last_step:
            ended = shop.saga(order)
    assert shop.saga(order) == ended
