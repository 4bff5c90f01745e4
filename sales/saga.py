"""The order saga, top to bottom.

A customer orders. We ask whether everything is there and what it costs, write the prices down, take the stock, give the
parcel to delivery, and tell the customer that it will be shipped. The endings: **Pending Shipment**, or **Rejected**
because something does not exist, is out of stock, or costs something else than the customer saw.

A customer cancels. We stop the parcel; if that worked, the stock goes back and the order is **Cancelled**. If the
parcel had already left, the order goes on as what its delivery says.

A refusal travels along the chain as a value, and the last step records it. What a place chain did before it was
refused is undone by the cancel chain, and a cancel may overtake the chain that it cancels: each step leaves a mark that
refuses the late one. How a link is handed to the next is the business of tasks/step.py.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from celery import Signature, chain

Order = Mapping[str, Any]


def place(*orders: Order) -> chain:
    """Check, price, reserve, dispatch, confirm. Each order has an ``address`` and ``lines``."""
    return chain(
        link("inventory.check_availability", list(orders)),
        link("sales.record_inventory_response"),
        link("inventory.reserve_stock"),  #         undone by inventory.release_stock
        link("delivery.create_delivery"),  #        undone by delivery.cancel_delivery
        link("sales.update_order_status"),
    )


def cancel(order: Order) -> chain:
    """Stop the parcel, give the stock back, confirm."""
    return chain(
        link("delivery.cancel_delivery", [order]),
        link("inventory.release_stock"),
        link("sales.update_order_status"),
    )


def move(order: Order) -> chain:
    """An operator says where the parcel is; the order follows its delivery."""
    return chain(link("delivery.update_delivery", [order]), link("sales.update_order_status"))


def report(order: Order) -> chain:
    """Ask delivery where the parcel is; the order follows its delivery."""
    return chain(link("delivery.report_status", [order]), link("sales.update_order_status"))


def message(order_id: UUID, kind: str, no: int, correlation_id: str | None, **facts: Any) -> Order:
    """What travels along a chain about one order. ``kind`` and ``no`` tell the order's chains apart."""
    return {"order_id": str(order_id), "kind": kind, "no": no, "correlation_id": correlation_id, **facts}


@cache
def tasks() -> frozenset[str]:
    """Every task that a chain of ours names, and the one that keeps what could not be worked on."""
    links = [each for workflow in (place, cancel, move, report) for each in workflow({}).tasks]
    return frozenset({"sales.record_fault", *(each["task"] for each in links)})


def link(task: str, bundle: list[Order] | None = None) -> Signature:
    """One link of a chain: a task of ours, and for the first link the orders that it begins with."""
    return Signature(task, args=[bundle] if bundle else [])
