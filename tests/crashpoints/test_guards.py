"""Three of the negative controls of ``tests/controls``, for every run of the tests; `make controls` plays them all.

They are the quickest: one in which a constraint is dropped, and two with a patched worker.
"""

import pytest

from tests.controls import test_guards
from tests.controls.conftest import control as control

pytestmark = pytest.mark.rabbitmq

test_unique_reservations = test_guards.test_without_unique_reservations_a_redelivered_message_takes_stock_twice
test_tombstones = test_guards.test_without_tombstones_in_delivery_a_late_parcel_leaves_for_a_cancelled_order
test_delivery_version = test_guards.test_without_the_delivery_version_old_news_moves_an_order_back
