"""Products, their stock and the ledger of every unit that moved. Owns ``inventory_db``.

Accepts (``messages.py``): ``inventory.check_availability``, ``inventory.reserve_stock``, ``inventory.release_stock``.
Sends nothing of its own: each answer goes into the order's next link.
"""
