"""Everything that runs on a queue: one module per consuming service, and the processes beside the workers.

    place   inventory_check_queue -> inventory_response_queue -> stock_reservation_queue
            -> delivery_queue -> order_status_queue
    cancel  delivery_queue -> stock_release_queue -> order_status_queue

The promise: a message is delivered at least once, and every step decides once. ``step.py`` holds the contract.
"""
