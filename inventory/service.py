"""The three steps on stock, and what people do to products. Takes a session first, and never commits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.codes import nfc
from chassis.idempotency import RequestKey, insert_once, replay_of
from chassis.lookalikes import difference, look_alike
from inventory import lookalikes, models, queries
from inventory.errors import InsufficientStock, SkuLookalike, SkuTaken
from inventory.messages import (
    Availability,
    CatalogueEntry,
    CheckAvailability,
    Released,
    ReleaseStock,
    Reserved,
    ReserveStock,
)
from inventory.models import Movement, Refusal, products, stock_movements
from inventory.queries import Product
from inventory.status import MovementType, ProductStatus, ReservationState, check_move

CANCELLED = Refusal("cancelled", "The order was cancelled.")


def check_availability(session: Session, orders: Sequence[CheckAvailability]) -> list[Availability]:
    """Can every line of these orders be filled right now, and at what price?

    Promises nothing and stores nothing: asked again it may answer differently, and sales keeps the first answer.
    """
    wanted = [queries.merge_lines(order.lines) for order in orders]
    known = queries.products_by_id(session, {product_id for each in wanted for product_id in each})
    return [_availability(order.order_id, each, known) for order, each in zip(orders, wanted, strict=True)]


def _availability(order_id: UUID, wanted: Mapping[UUID, int], known: Mapping[UUID, Product]) -> Availability:
    refusal = _summary(queries.why_not_order(each, known.get(each), quantity) for each, quantity in wanted.items())
    products = [known[each] for each in wanted if each in known]
    catalogue = [CatalogueEntry(each.id, each.sku, each.name, each.price) for each in products]
    if refusal:
        return Availability(order_id, "refused", refusal.reason, refusal.detail, catalogue)
    return Availability(order_id, catalogue=catalogue)


def _summary(refusals: Iterable[Refusal | None], shown: int = 3) -> Refusal | None:
    """One refusal for the order: the reason of the first line that fails, and the sentences of the first few."""
    found = [each for each in refusals if each]
    if not found:
        return None
    more = f" And {len(found) - shown} more." if len(found) > shown else ""
    return Refusal(found[0].reason, " ".join(each.detail for each in found[:shown]) + more)


def reserve_stock(session: Session, orders: Sequence[ReserveStock]) -> list[Reserved]:
    """Take the stock for all lines of each order or for none; scarce stock goes to the order that arrived first.

    Decides once per order: a copy gets the decision that is stored, and an order that was released before it came
    here gets nothing. An order that was refused earlier is passed on. Undone by ``release_stock``.
    """
    asking: dict[UUID, ReserveStock] = {}
    for order in orders:
        if order.outcome == "ok":
            asking.setdefault(order.order_id, order)
    undecided = models.claim(session, asking, ReservationState.HELD)
    refused = _take_stock(session, [order for order_id, order in asking.items() if order_id in undecided])
    decided = models.read_decisions(session, asking.keys() - undecided)
    decisions = {**dict.fromkeys(undecided), **refused, **decided}
    return [_reserved(order, decisions) for order in orders]


def _take_stock(session: Session, orders: Sequence[ReserveStock]) -> Mapping[UUID, Refusal]:
    """Decide in arrival order over locked products, then write for all orders at once; returns the refusals."""
    wanted = {order.order_id: queries.merge_lines(order.lines) for order in orders}
    stock = models.lock_products(session, {product_id for lines in wanted.values() for product_id in lines})
    left = {product_id: product.stock_quantity for product_id, product in stock.items()}
    taken: list[Movement] = []
    refused: dict[UUID, Refusal] = {}
    for order_id, lines in wanted.items():
        refusal = _summary(
            queries.why_not(each, stock.get(each), quantity, left.get(each, 0)) for each, quantity in lines.items()
        )
        if refusal:
            refused[order_id] = refusal
            continue
        for product_id, quantity in lines.items():
            left[product_id] -= quantity
            taken.append(Movement(product_id, order_id, -quantity))
    models.move_stock(session, MovementType.RESERVE, "reserved for an order", taken)
    models.refuse(session, refused)
    return refused


def _reserved(order: ReserveStock, decisions: Mapping[UUID, Refusal | None]) -> Reserved:
    if order.outcome != "ok":
        return Reserved(order.order_id, order.outcome, order.reason, order.detail)
    refusal = decisions[order.order_id]
    if refusal:
        return Reserved(order.order_id, "refused", refusal.reason, refusal.detail)
    return Reserved(order.order_id, "ok")


def release_stock(session: Session, orders: Sequence[ReleaseStock]) -> list[Released]:
    """Give back, once, what the ledger says that each order holds. The undo of ``reserve_stock``.

    Where nothing was decided yet it leaves a tombstone, which refuses a reserve that comes late. An order whose
    cancellation was refused keeps its stock and is passed on.
    """
    cancelled = {order.order_id for order in orders if order.outcome == "ok"}
    models.claim(session, cancelled, ReservationState.RELEASED, CANCELLED)
    held = models.release_held(session, cancelled, CANCELLED)
    if held:
        returned = models.read_holdings(session, held)
        models.lock_products(session, {each.product_id for each in returned})
        models.move_stock(session, MovementType.RELEASE, "order cancelled", returned)
    return [Released(order.order_id, order.outcome) for order in orders]


def lock_product(session: Session, product_id: UUID) -> Product:
    """This product as it is now, and nobody else's until the commit. Raises ProductNotFound."""
    return queries.known(product_id, models.lock_products(session, [product_id]).get(product_id))


def create_product(session: Session, wanted: Mapping[str, Any], request: RequestKey | None) -> tuple[Product, bool]:
    """Add a product to the catalogue, its opening stock booked as an ``adjust``: ``(product, replayed)``.

    With ``allow_lookalikes`` its SKU may look like another's. Raises SkuTaken, SkuLookalike, IdempotencyKeyReused.
    """
    values = {**wanted, "id": uuid7()}
    opening = values.pop("stock_quantity", 0)
    allow_lookalikes = values.pop("allow_lookalikes", False)
    try:
        with session.begin_nested():
            product, replayed = insert_once(session, products, values, request)
    except IntegrityError as error:
        if "uq_products_sku" not in str(error.orig):
            raise
        # A copy of this request that ran beside it may have taken the SKU: then this is no conflict but a replay.
        made = request and replay_of(session, products, request)
        if not made:
            raise _taken(wanted["sku"]) from error
        return made, True
    if not replayed:
        _look_for_lookalikes(session, product, allow_lookalikes)
    if replayed or not opening:
        return product, replayed
    models.move_stock(session, MovementType.ADJUST, "opening stock", [Movement(product.id, None, opening)])
    return queries.find_product(session, product.id), False


def _look_for_lookalikes(session: Session, product: Product, allowed: bool) -> None:
    """Raises SkuTaken where another product has this new one's SKU; unless ``allowed``, SkuLookalike where one looks
    like it."""
    alike = [each for each in lookalikes.products_like(session, product) if look_alike(each.sku, product.sku)]
    lookalikes.add_looks(session, product)
    if any(nfc(other.sku) == product.sku for other in alike):  # an older release stored it as it came
        raise _taken(product.sku)
    if alike and not allowed:
        other = alike[0]
        raise SkuLookalike(
            f"The SKU {product.sku} looks like {other.sku}, which is product {other.id}:"
            f" {difference(product.sku, other.sku)}.",
            errors=[{"field": "sku", "message": f"looks like {other.sku}, the SKU of product {other.id}"}],
            product_id=str(other.id),
            sku=other.sku,
        )


def _taken(sku: str) -> SkuTaken:
    belongs = [{"field": "sku", "message": "belongs to another product"}]
    return SkuTaken(f"Another product has the SKU {sku}.", errors=belongs)


def change_product(session: Session, product_id: UUID, changes: Mapping[str, Any]) -> Product:
    """Change price, status or texts of a product that the caller has locked.

    What is already so is no change: neither the version nor ``updated_at`` moves.
    Raises ProductNotFound, IllegalTransition.
    """
    before = queries.find_product(session, product_id)
    if "status" in changes:
        check_move(ProductStatus(before.status), ProductStatus(changes["status"]))
    if all(getattr(before, name) == value for name, value in changes.items()):
        return before
    return session.execute(
        update(products)
        .where(products.c.id == product_id)
        .values(**changes, version=products.c.version + 1, updated_at=func.now())
        .returning(products)
    ).one()


def adjust_stock(
    session: Session, product_id: UUID, quantity: int, reason: str, request: RequestKey | None
) -> tuple[dict[str, Any], bool]:
    """Book what a person counted, received or wrote off: ``({"movement", "stock_quantity"}, replayed)``.

    ``quantity`` is signed. A replay shows the stock as it is now. Raises ProductNotFound, InsufficientStock,
    IdempotencyKeyReused.
    """
    stock: int = lock_product(session, product_id).stock_quantity
    values = {
        "id": uuid7(),
        "product_id": product_id,
        "movement_type": MovementType.ADJUST,
        "quantity": quantity,
        "reason": reason,
    }
    movement, replayed = insert_once(session, stock_movements, values, request)
    if replayed:
        return {"movement": movement, "stock_quantity": stock}, True
    if stock + quantity < 0:
        raise InsufficientStock(
            f"There are {stock} units; {-quantity} cannot be taken away.", stock_quantity=stock, quantity=quantity
        )
    session.execute(
        update(products)
        .where(products.c.id == product_id)
        .values(stock_quantity=stock + quantity, updated_at=func.now())
    )
    return {"movement": movement, "stock_quantity": stock + quantity}, False
