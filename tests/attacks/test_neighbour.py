"""Without an attack an ordinary client is served well within what it bears: what is measured is the attack."""

from tests.attacks.conftest import Suffers
from tests.e2e.stack import Stack


def test_a_neighbour_of_nobody_is_served_in_time(stack: Stack, suffers: Suffers) -> None:
    suffers(f"{stack.setting('gateway_url')}/products")
    suffers(f"{stack.setting('sales_url')}/health/live")
