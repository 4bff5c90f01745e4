"""What can be mended about an order without guessing, and how.

Each remedy does what a service of ours would do, by that service's own function: take the stock that the order's lines
name, give it back, tell an order what its delivery is, cancel what the others have cancelled. What would have to be
guessed is not here, but in ``advice``.

They are tried from top to bottom: first delivery is told what it has forgotten, then sales hears of the others, and
only what is then still to be shipped takes stock.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from conveyor.reconcile.facts import Facts, InDelivery, InInventory, InSales
from conveyor.reconcile.hold import Held
from conveyor.reconcile.rules import SAGA_OF, SHIPPING, Deviation
from delivery import service as delivery
from delivery.messages import ReportStatus
from delivery.status import DeliveryStatus
from inventory import queries as catalogue
from inventory import service as inventory
from inventory.messages import Line, ReleaseStock, ReserveStock
from sales import chains, following, pricing, timeline
from sales import service as sales
from sales.messages import CatalogueEntry, InventoryResponse, StatusUpdate
from sales.models import order_items, order_sagas
from sales.status import MOVES, OrderStatus

S, D = OrderStatus, DeliveryStatus


class CannotMend(Exception):
    """The remedy would apply, and something stands in its way; nothing was changed."""


class Remedy(NamedTuple):
    """What mends deviations of these kinds in one service's database.

    ``mend`` changes that database and says what it did; it raises CannotMend.
    """

    service: str
    kinds: frozenset[str]
    applies: Callable[[Facts], bool]
    mend: Callable[[Held, Facts], str]

    def wrong(self, facts: Facts, found: list[Deviation]) -> Deviation | None:
        """The first of these deviations that this remedy mends."""
        return next((each for each in found if each.kind in self.kinds and self.applies(facts)), None)


def known(facts: Facts) -> tuple[InSales, InInventory | None, InDelivery | None]:
    """The three sides of an order that sales knows: orders that it does not know have no remedy."""
    assert facts.sales is not None
    return facts.sales, facts.inventory, facts.delivery


def delivery_has_forgotten(facts: Facts) -> bool:
    """Sales was told of a later version than the delivery has, so delivery was there once."""
    order, _, parcel = known(facts)
    copies, version = (parcel.copies, parcel.version) if parcel else (1, 0)
    return order.status in {*SHIPPING, S.CANCELLING, S.CANCELLED} and copies == 1 and order.delivery_version > version


def remind_delivery(held: Held, facts: Facts) -> str:
    """The newest status and version that sales has is what delivery itself once said."""
    order, _, parcel = known(facts)
    row = sales.hold_order(held.sales, UUID(order.order_id))
    saga = timeline.saga_of(held.sales, row.id)
    answered = saga.no if saga is not None and saga.kind == "cancel" and saga.closed_at is not None else 0
    pair = f"{order.delivery_status} at version {order.delivery_version}"
    note = f"restored: sales was told {pair} before"
    status = DeliveryStatus(str(order.delivery_status))
    delivery.restore_delivery(
        held.delivery,
        row.id,
        row.delivery_address,
        status,
        order.delivery_version,
        cancel_no=answered,
        notes=note,
        at=row.updated_at,
    )
    return f"{'brought the delivery up to' if parcel else 'made the delivery again,'} {pair}, as sales was told before"


def others_have_cancelled(facts: Facts) -> bool:
    """Only a cancel cancels a delivery or releases stock: the order was cancelled after what sales remembers."""
    order, stock, parcel = known(facts)
    if order.status not in {S.PENDING, *SHIPPING} - {S.DELIVERED}:
        return False
    if parcel and parcel.status == D.CANCELLED:
        return parcel.copies == 1 and parcel.version > order.delivery_version
    stopped = parcel is None or parcel.status in (D.PENDING, D.FAILED)
    released = stock is not None and stock.state == "released"
    return released and stopped and S.CANCELLING in MOVES[S(order.status)]


def cancel_too(held: Held, facts: Facts) -> str:
    """Ask for the cancel again: delivery and inventory answer from what they have stored."""
    order, _, parcel = known(facts)
    order_id = UUID(order.order_id)
    if order.status == S.IN_TRANSIT and parcel:
        # What was on its way is only cancelled after its delivery failed; sales hears of that, too.
        failed = StatusUpdate(
            order_id=order_id, kind="report", no=0, delivery_status=D.FAILED, delivery_version=parcel.version - 1
        )
        following.update_order_statuses(held.sales, [failed])
    reason = "cancelled before: sales had forgotten it"
    sales.request_cancel(held.sales, order_id, _correlation_id(held, order_id), reason=reason)
    return "asked for the cancel again, which delivery or inventory has on record"


def order_is_behind_its_delivery(facts: Facts) -> bool:
    """The delivery has moved on, and sales has not heard of it."""
    order, _, parcel = known(facts)
    return (
        order.status in SHIPPING
        and parcel is not None
        and parcel.copies == 1
        and parcel.version > order.delivery_version
        and parcel.status != D.CANCELLED
    )


def ask_delivery(held: Held, facts: Facts) -> str:
    """What the sweeper would ask, and the order follows."""
    order_id = UUID(facts.order_id)
    (answer,) = delivery.report_status(held.delivery, [ReportStatus(order_id=order_id)])
    told = StatusUpdate(
        order_id=order_id,
        kind="report",
        no=0,
        correlation_id=_correlation_id(held, order_id),
        delivery_status=answer.delivery_status,
        delivery_version=answer.delivery_version,
    )
    following.update_order_statuses(held.sales, [told])
    return f"told the order that its delivery is {told.delivery_status} at version {told.delivery_version}"


def stock_was_never_taken(facts: Facts) -> bool:
    """An order that ships, or has a delivery, has taken its stock once: inventory knows nothing of it."""
    order, stock, parcel = known(facts)
    ships = order.status in SHIPPING or (order.status == S.PENDING and parcel and parcel.status != D.CANCELLED)
    return bool(ships) and stock is None and bool(order.lines)


def take_stock(held: Held, facts: Facts) -> str:
    """The step that took it before takes it again, if there is enough."""
    order, _, _ = known(facts)
    lines = [each.partition("=") for each in order.lines.split(",")]
    wanted = [Line(UUID(product), int(units)) for product, _, units in lines]
    (answer,) = inventory.reserve_stock(held.inventory, [ReserveStock(UUID(order.order_id), wanted)])
    if answer.outcome != "ok":
        raise CannotMend(f"its stock cannot be taken again: {answer.detail}")
    return "took the stock of its lines again"


def stock_was_never_given_back(facts: Facts) -> bool:
    """A cancelled order has given its stock back, or left a mark that refuses a late step; a rejected one has none."""
    order, stock, parcel = known(facts)
    if order.status == S.REJECTED:
        return stock is not None and stock.state == "held" and (parcel is None or parcel.status == D.CANCELLED)
    return order.status == S.CANCELLED and (stock is None or stock.state == "held")


def give_stock_back(held: Held, facts: Facts) -> str:
    """The step that gave it back before does so again."""
    _, stock, _ = known(facts)
    inventory.release_stock(held.inventory, [ReleaseStock(UUID(facts.order_id))])
    return "gave its stock back again" if stock else "left the mark again that refuses a late reservation"


def prices_are_lost(facts: Facts) -> bool:
    """Stock is only held for an order that has its prices; and one without might yet be rejected for what it holds."""
    order, stock, _ = known(facts)
    held = stock is not None and stock.state == "held"
    return order.status == S.PENDING and order.total is None and held


def ask_for_prices(held: Held, facts: Facts) -> str:
    """The catalogue is asked once more; a price that the customer saw is the one that was accepted."""
    order_id = UUID(facts.order_id)
    items = held.sales.execute(select(order_items).where(order_items.c.order_id == order_id)).all()
    seen = {each.product_id: each.price for each in items if each.price is not None}
    found = catalogue.products_by_id(held.inventory, {each.product_id for each in items})
    missing = {each.product_id for each in items} - found.keys()
    if missing:
        raise CannotMend(f"it cannot be priced again: there is no product {min(missing)}")
    entries = [CatalogueEntry(each, row.name, seen.get(each, row.price)) for each, row in found.items()]
    response = InventoryResponse(order_id=order_id, outcome="ok", catalogue=entries)
    pricing.record_inventory_responses(held.sales, [response])
    saga = timeline.saga_of(held.sales, order_id)
    if saga is not None and saga.deadline is not None:
        chains.resend(held.sales, sales.hold_order(held.sales, order_id), saga)
    return "priced it by the catalogue again, and sent its chain again"


def chain_is_not_under_way(facts: Facts) -> bool:
    """An order in flight has a chain under way."""
    return known(facts)[0].status in SAGA_OF


def restart(held: Held, facts: Facts) -> str:
    """Begin it anew: every step answers from what it has stored."""
    order = sales.hold_order(held.sales, UUID(facts.order_id))
    chains.restart(held.sales, order, _correlation_id(held, order.id))
    return f"began its {SAGA_OF[order.status]} chain anew"


def chain_has_ended(facts: Facts) -> bool:
    """Nothing is under way for an order that has ended."""
    return known(facts)[0].status not in SAGA_OF


def close(held: Held, facts: Facts) -> str:
    """What the end of the chain would have done."""
    timeline.close_sagas(held.sales, [UUID(facts.order_id)], at_last_step=False)
    return "closed its saga"


REMEDIES = (
    Remedy("delivery", frozenset({"delivery", "delivery_version"}), delivery_has_forgotten, remind_delivery),
    Remedy("sales", frozenset({"reservation", "delivery", "delivery_version"}), others_have_cancelled, cancel_too),
    Remedy("sales", frozenset({"delivery", "delivery_version"}), order_is_behind_its_delivery, ask_delivery),
    Remedy("inventory", frozenset({"reservation", "delivery"}), stock_was_never_taken, take_stock),
    Remedy("inventory", frozenset({"reservation"}), stock_was_never_given_back, give_stock_back),
    Remedy("sales", frozenset({"total"}), prices_are_lost, ask_for_prices),
    Remedy("sales", frozenset({"saga"}), chain_is_not_under_way, restart),
    Remedy("sales", frozenset({"saga"}), chain_has_ended, close),
)


def remedies_for(facts: Facts, found: list[Deviation]) -> Iterator[tuple[Remedy, Deviation]]:
    """The remedies that apply, each with the deviation that it mends, the one to try first first."""
    if facts.sales is None:
        return
    for remedy in REMEDIES:
        wrong = remedy.wrong(facts, found)
        if wrong is not None:
            yield remedy, wrong


def _correlation_id(held: Held, order_id: UUID) -> str:
    """The one that the order's saga had: its log lines stay together."""
    found = held.sales.execute(select(order_sagas.c.correlation_id).where(order_sagas.c.order_id == order_id))
    return found.scalar() or f"repair-{order_id}"
