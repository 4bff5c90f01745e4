"""Deliveries: one per order, and the log of how its parcel travelled.

Owns     the database ``delivery_db``: deliveries and delivery_logs.
Accepts  ``create_delivery``, ``cancel_delivery``, ``update_delivery`` and ``report_status`` on its queue, and couriers'
         scans over HTTP (port 3002).
Sends    ``sales.update_order_status``, whenever a scan has changed what a parcel is, or is of one that is cancelled.

What an order asked for first is what it gets: a cancel that comes before its create leaves a tombstone (CANCELLED, no
address) that refuses the create, and a cancel is numbered, so that a late copy of a refused one changes nothing.
"""
