"""What has to be true of an order, given what it is. Pure: facts in, deviations out.

An order that ships holds the stock of its lines and has a delivery that says the same. One that was rejected or
cancelled holds nothing, and a cancelled one has left its tombstones, so that no late message can take stock or send a
parcel. An order in flight may be anywhere on its way, but what it holds agrees with its reservation, and sales is
never ahead of delivery.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from conveyor.reconcile.facts import Facts, InDelivery, InInventory, InSales
from sales.status import ENDED, STATUS_OF_DELIVERY, OrderStatus

S = OrderStatus

#: These hold the stock of their lines, and a delivery says where the parcel is.
SHIPPING = frozenset(STATUS_OF_DELIVERY.values())
DELIVERY_OF: dict[str, str] = {status: delivery for delivery, status in STATUS_OF_DELIVERY.items()}
#: Which saga is open while an order is this.
SAGA_OF: dict[str, str] = {S.PENDING: "place", S.CANCELLING: "cancel"}
#: What may have been decided about the stock of an order that is this; None: nothing yet.
RESERVATIONS: dict[str, tuple[str | None, ...]] = {
    S.PENDING: (None, "held", "refused"),
    S.CANCELLING: (None, "held", "refused", "released"),
    S.CANCELLED: ("released", "refused"),
    S.REJECTED: (None, "refused", "released"),
    **dict.fromkeys(SHIPPING, ("held",)),
}
NOTHING = "nothing"


class Deviation(NamedTuple):
    """Something that cannot be. ``kind`` is one word of a fixed list, ``id`` names the order, product or queue."""

    kind: str
    id: str
    found: str
    expected: str


def in_flight(facts: Facts) -> bool:
    """Whether a chain is under way for this order, so that its databases may disagree for a moment."""
    return facts.sales is not None and facts.sales.status not in ENDED


def changed_since(facts: Facts, moment: datetime) -> bool:
    """Whether any of the databases has changed its mind about the order at or after this moment."""
    return any(each.changed_at >= moment for each in (facts.sales, facts.inventory, facts.delivery) if each)


def deviations_of(facts: Facts) -> Iterator[Deviation]:
    """What cannot be true of this order at once; nothing for one that is in order."""
    if facts.sales is None:
        yield from _orphans(facts)
        return
    for found in (
        *_lines_and_total(facts.sales, facts.inventory),
        *_saga(facts.sales),
        *_stock(facts.sales, facts.inventory),
        *_parcel(facts.sales, facts.inventory, facts.delivery),
        *_newest_pair(facts.sales, facts.delivery),
    ):
        kind, is_there, should_be = found
        yield Deviation(kind, facts.order_id, is_there, should_be)


Finding = tuple[str, str, str]


def _orphans(facts: Facts) -> Iterator[Deviation]:
    missing = "an order with this id"
    if facts.inventory and facts.inventory.state:
        yield Deviation("orphan_reservation", facts.order_id, f"a reservation, {facts.inventory.state}", missing)
    if facts.inventory and facts.inventory.held:
        yield Deviation("orphan_ledger", facts.order_id, f"{_units(facts.inventory.held)} in the ledger", missing)
    if facts.delivery:
        yield Deviation("orphan_delivery", facts.order_id, f"a delivery, {facts.delivery.status}", missing)


def _lines_and_total(order: InSales, stock: InInventory | None) -> Iterator[Finding]:
    if not order.lines:
        yield "lines", "an order without lines", "at least one line"
    if order.total is None:
        if order.status in SHIPPING:
            yield "total", f"no total, {order.status}", "a total: the order was priced before it shipped"
        elif order.status == S.PENDING and stock and stock.state == "held":
            yield "total", "no total, reservation held", "a total: the order was priced before its stock was taken"
    elif order.unpriced or order.total != order.worth:
        yield "total", f"total {order.total}", f"{order.worth or 0}{', of lines without price' * order.unpriced}"


def _saga(order: InSales) -> Iterator[Finding]:
    wanted = SAGA_OF.get(order.status)
    open_saga = order.saga_kind if order.saga_open else None
    if open_saga != wanted:
        is_there = f"{order.status}, {f'open {open_saga} saga' if open_saga else 'no open saga'}"
        yield "saga", is_there, f"open {wanted} saga" if wanted else "no open saga"


def _stock(order: InSales, stock: InInventory | None) -> Iterator[Finding]:
    state, held = (stock.state, stock.held) if stock else (None, "")
    allowed = RESERVATIONS[order.status]
    if state not in allowed:
        is_there = f"{order.status}, reservation {state or 'missing'}"
        yield "reservation", is_there, " or ".join(each or "no reservation" for each in allowed)
    if stock and stock.copies > 1:
        yield "reservation", f"{stock.copies} reservations", "one reservation: it is decided once"
    should_hold = order.lines if _holds(order, state) else ""
    if held != should_hold:
        because = f"{order.status}, reservation {state or 'missing'}"
        yield "ledger", f"holds {_units(held)}", f"{_units(should_hold)} ({because})"


def _holds(order: InSales, state: str | None) -> bool:
    """An order in flight holds what was decided; of any other its status says it."""
    return order.status in SHIPPING or (order.status not in ENDED and state == "held")


def _parcel(order: InSales, stock: InInventory | None, parcel: InDelivery | None) -> Iterator[Finding]:
    if parcel and parcel.copies > 1:
        yield "duplicate_delivery", f"{parcel.copies} deliveries", "one delivery"
    # Which of the other scans decides is a question of clocks; this one stands whatever they say.
    elif parcel and parcel.delivered and parcel.status not in ("DELIVERED", "CANCELLED"):
        yield "scans", f"delivery {parcel.status}, scanned as DELIVERED", "delivery DELIVERED: that stays"
    is_there = f"{order.status}, {f'delivery {parcel.status}' if parcel else 'no delivery'}"
    status = parcel.status if parcel else None
    if order.status in DELIVERY_OF or order.status == S.CANCELLED:
        should_be = DELIVERY_OF.get(order.status, "CANCELLED")
        if status != should_be:
            yield "delivery", is_there, f"delivery {should_be}"
    elif order.status == S.REJECTED and parcel:
        yield "delivery", is_there, "no delivery"
    elif order.status == S.PENDING and parcel:
        if status == "CANCELLED":
            yield "delivery", is_there, "a delivery that is not cancelled: nobody has asked for it"
        elif not stock or stock.state != "held":
            yield "delivery", f"{is_there}, no stock held", "no delivery before the stock is held"


def _newest_pair(order: InSales, parcel: InDelivery | None) -> Iterator[Finding]:
    known = (order.delivery_status, order.delivery_version)
    newest = (parcel.status, parcel.version) if parcel else (None, 0)
    behind = order.status not in ENDED and known[1] < newest[1]
    if known != newest and not behind:
        yield "delivery_version", f"sales knows {_pair(*known)}", f"{_pair(*newest)}, as delivery has it"


def _pair(status: str | None, version: int) -> str:
    return f"{status} at version {version}" if status or version else "no delivery"


def _units(holding: str, shown: int = 3) -> str:
    """A holding for people: ``3 of 0192..., 1 of 0193... and 2 more``."""
    if not holding:
        return NOTHING
    products = [each.partition("=") for each in holding.split(",")]
    named = ", ".join(f"{units} of {product}" for product, _, units in products[:shown])
    return f"{named} and {len(products) - shown} more" if len(products) > shown else named
