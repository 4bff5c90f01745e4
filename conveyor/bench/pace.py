"""How fast this interpreter is on this machine at this moment.

A rate of last week, or of another machine, says little without it: a processor that is shared is half as fast again
some minutes later, and a Python that was built without optimisations takes a quarter longer.
"""

import json
import time

_PIECE = {"sku": "MUG-STONE", "quantity": 2, "price": "9.80", "lines": [1, 2, 3], "reason": None}
TIMES, ROUNDS = 5, 6_000


def pace() -> float:
    """Milliseconds of CPU that a fixed piece of work in Python takes, the best of several times."""
    return round(1_000 * min(_once() for _ in range(TIMES)), 1)


def _once() -> float:
    began = time.process_time()
    for number in range(ROUNDS):
        piece = json.loads(json.dumps(_PIECE))
        piece["text"] = f"{piece['sku']} {number}"
        sum(each * piece["quantity"] for each in piece["lines"])
    return time.process_time() - began
