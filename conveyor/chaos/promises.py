"""Was every promise kept that a client was given? Pure: what was told and what is there in, deviations out.

``conveyor reconcile`` proves that the three databases tell one story. This is what only the clients know: which orders
were taken, under which key, what became of their cancels, what couriers reported, how much stock there was at first.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conveyor.chaos.parcels import Parcel, undecided, unkept, unnoticed
from conveyor.chaos.plans import lines_of
from conveyor.chaos.shop import Known
from conveyor.reconcile.rules import SHIPPING, Deviation
from sales.status import OrderStatus

S = OrderStatus
#: From here a cancel is refused.
NOT_CANCELLABLE = frozenset({S.IN_TRANSIT, S.DELIVERED, S.REJECTED})


@dataclass(frozen=True, slots=True)
class Order:
    """An order as sales has it, and how many events of a kind: cancels requested, refused, scans after a cancel."""

    id: str
    key: str | None
    status: str
    reason: str | None
    flagged: bool
    cancels_requested: int
    cancels_refused: int
    scanned: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the databases say at the end. Products by id: units in stock, and units of the orders that ship."""

    orders: Mapping[str, Order]
    parcels: Mapping[str, Parcel]  # by order id
    stock: Mapping[str, int]
    shipped: Mapping[str, int]


def broken(
    known: Sequence[Known], evidence: Evidence, opening: Mapping[str, int], plentiful: frozenset[str]
) -> Iterator[Deviation]:
    """Every promise that was not kept. ``opening``: units by product id; ``plentiful``: skus that never run out."""
    yield from _keys(known, evidence)
    for each in known:
        yield from _answers(each)
        order = evidence.orders.get(each.order_id or "")
        if order is not None:
            yield from _refusal(each, order, plentiful)
            yield from _cancel(each, order)
            yield from unkept(each, evidence.parcels.get(order.id))
    for order in evidence.orders.values():
        if order.flagged:
            yield Deviation("flagged", order.id, f"{order.status}, needs attention", "no flag after resume and replay")
    for order_id, parcel in evidence.parcels.items():
        yield from undecided(order_id, parcel)
        if order_id in evidence.orders:
            yield from unnoticed(order_id, parcel, evidence.orders[order_id].scanned)
    yield from _stock(evidence, opening)


def _keys(known: Sequence[Known], evidence: Evidence) -> Iterator[Deviation]:
    """Every order that was answered 201 exists, under its key, and no key made two."""
    by_key: dict[str | None, list[str]] = {}
    for order in evidence.orders.values():
        by_key.setdefault(order.key, []).append(order.id)
    for each in known:
        made = by_key.pop(each.key, [])
        if len(made) > 1:
            yield Deviation(
                "two_orders", ", ".join(made), f"{len(made)} orders for key {each.key}", "one order per key"
            )
        if each.order_id is not None and made != [each.order_id]:
            found = ", ".join(made) or "none"
            yield Deviation("lost_order", each.order_id, f"order of key {each.key}: {found}", "the one answered 201")
    for key, made in by_key.items():
        yield Deviation("unknown_order", ", ".join(made), f"key {key}", "an order that a client has placed")


def _answers(each: Known) -> Iterator[Deviation]:
    name = each.order_id or each.key
    for told in each.surprises:
        yield Deviation("answer", name, f"{told.status} {told.code}", "a success, a refusal with its reason, or 503")
    if each.placed is None:
        yield Deviation("unanswered", name, "no definite answer to POST /orders", "201")
    elif each.placed.status != 201:
        yield Deviation("answer", name, f"{each.placed.status} {each.placed.code} to POST /orders", "201")
    if each.order_id is not None and each.plan.cancel_after is not None and each.cancel is None:
        yield Deviation("unanswered", name, "no definite answer to the cancel", "an answer")
    for move, told in each.moves:
        if not told.accepted and not (told.status == 409 and move.by_operator):
            expected = "a success or 409" if move.by_operator else "a success: no scan is refused"
            yield Deviation("answer", name, f"{told.status} {told.code} to the move to {move.to}", expected)


def _refusal(each: Known, order: Order, plentiful: frozenset[str]) -> Iterator[Deviation]:
    """Stock that comes back is never missed: who asked for nothing scarce is not refused."""
    if order.status != S.REJECTED:
        return
    skus = set(lines_of(each.plan.invoice.items))
    if order.reason != "insufficient_stock" or skus <= plentiful:
        yield Deviation(
            "refusal", order.id, f"Rejected, {order.reason}: {', '.join(sorted(skus))}", "nothing was short"
        )


def _cancel(each: Known, order: Order) -> Iterator[Deviation]:
    if each.cancel is None:
        if order.status == S.CANCELLED:
            yield Deviation("cancel", order.id, "Cancelled, which nobody was told", "an order that nobody cancelled")
    elif each.cancel.accepted:
        refused = order.cancels_refused and order.status in SHIPPING - {S.PENDING_SHIPMENT}
        if order.status != S.CANCELLED and not refused:
            found = f"{order.status}, {order.cancels_requested} cancels requested, {order.cancels_refused} refused"
            yield Deviation("cancel", order.id, found, f"Cancelled, or refused for a reason: told {each.cancel.status}")
    elif each.cancel.status != 409 or each.cancel.state not in NOT_CANCELLABLE:
        found = f"{each.cancel.status} {each.cancel.code} from {each.cancel.state or '?'} to the cancel"
        yield Deviation("answer", order.id, found, "accepted, or 409 from where a parcel has left")


def _stock(evidence: Evidence, opening: Mapping[str, int]) -> Iterator[Deviation]:
    shipped = Counter(evidence.shipped)
    for product, first in opening.items():
        should_be, found = first - shipped[product], evidence.stock.get(product)
        if found != should_be:
            expected = f"{should_be}: {first} at first, {shipped[product]} in orders that ship"
            yield Deviation("stock_sold", product, f"{found} in stock", expected)
