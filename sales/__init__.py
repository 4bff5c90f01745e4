"""Sales: customers and orders, and the conductor of the order saga.

Owns ecommerce_db. Sends inventory.check_availability, inventory.reserve_stock, inventory.release_stock and
delivery.create_delivery, cancel_delivery, update_delivery, report_status; accepts sales.record_inventory_response,
sales.update_order_status and sales.record_fault.
"""
