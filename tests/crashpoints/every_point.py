"""Every death of the table, one after the other: `make crashpoints`. Its name keeps it out of `make test`."""

import pytest

from tests.crashpoints.points import Case, cases
from tests.crashpoints.sweep import Sweep

pytestmark = pytest.mark.rabbitmq


@pytest.mark.parametrize("case", cases(), ids=lambda each: each.id)
def test_a_death_at_this_point_harms_nobody(sweep: Sweep, case: Case) -> None:
    sweep.run(case)
