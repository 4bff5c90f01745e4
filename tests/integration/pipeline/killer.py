"""An order that kills every worker that touches it: a patch for tests to put in front of a worker of inventory."""

#: An order of 13 units kills every worker that reserves for it: no exception, no warning.
KILLER = """
import os
from inventory import service
reserve = service.reserve_stock
def reserve_or_die(session, orders):
    if any(line.quantity == 13 for order in orders for line in order.lines):
        os._exit(137)
    return reserve(session, orders)
service.reserve_stock = reserve_or_die
"""
