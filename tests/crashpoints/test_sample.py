"""A few of the deaths of ``every_point.py``, for every run of the tests, and the proof that they could fail."""

import pytest

from tests.crashpoints.points import SAMPLE
from tests.crashpoints.sweep import Sweep, Violation, case

pytestmark = pytest.mark.rabbitmq

#: An order's first message is not written in the transaction of the order, but in one of its own behind it.
SEND_AFTER_THE_COMMIT = """
from chassis.database import after_commit, transaction
from chassis.web import database
from sales import chains
enqueue = chains.enqueue
def send_afterwards(session, links):
    def send():
        with transaction(database()) as another:
            enqueue(another, links)
    after_commit(session, send)
    return 0
chains.enqueue = send_afterwards
"""


@pytest.mark.parametrize("name", SAMPLE)
def test_a_death_at_this_point_harms_nobody(sweep: Sweep, name: str) -> None:
    sweep.run(case(name))


def test_with_the_outbox_row_outside_of_the_transaction_the_very_same_death_loses_the_order(sweep: Sweep) -> None:
    death = case("sales POST /orders: after commit")
    with sweep.without({"serve-sales": SEND_AFTER_THE_COMMIT}, patience=5), pytest.raises(Violation) as found:
        sweep.run(death)
    assert "is not Pending Shipment" in str(found.value)
