"""A few of the deaths of ``every_point.py``, for every run of the tests, and the proof that they could fail."""

import pytest

from tests.crashpoints.points import SAMPLE
from tests.crashpoints.sweep import Sweep, Violation, case

pytestmark = pytest.mark.rabbitmq

#: The next message is sent at once, and not in the step's transaction: a step that dies before its commit has sent it,
#: and one that commits and dies has not.
OUTBOX_ASIDE = """
from chassis.database import after_commit, transaction
from tasks import patience, step
together = step.enqueue
def after_the_commit(session, links, bundle=None, **more):
    def send():
        with transaction(patience.sessions_of("inventory")) as other:
            together(other, links, bundle, **more)
    after_commit(session, send)
step.enqueue = after_the_commit
"""


@pytest.mark.parametrize("name", SAMPLE)
def test_a_death_at_this_point_harms_nobody(sweep: Sweep, name: str) -> None:
    sweep.run(case(name))


def test_a_message_that_is_not_written_in_the_transaction_of_its_step_is_found_to_be_missing(sweep: Sweep) -> None:
    """The same death that harms nobody otherwise, with one guard removed: so the sample could fail."""
    death = case("inventory.reserve_stock (place): after commit")
    with sweep.without({"worker-inventory": OUTBOX_ASIDE}), pytest.raises(Violation, match="is not Pending Shipment"):
        sweep.run(death)
