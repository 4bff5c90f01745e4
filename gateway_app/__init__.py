"""The only public door: routing, idempotency, waiting for an order's end.

Owns nothing but the idempotency keys in Redis, and those are a fast path only: the truth about a request that was sent
twice is in the database that the row goes to. Accepts HTTP from clients, asks sales, inventory and delivery by HTTP,
sends no message. Decides nothing about orders, stock or deliveries: it does not even read a request's body.
"""
