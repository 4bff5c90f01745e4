"""What people and steps may ask of products and their ledger. Reads, and locks nothing."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, or_, select, text, tuple_
from sqlalchemy.orm import Session

from chassis.codes import spellings
from chassis.errors import Invalid
from chassis.letter_case import contains
from chassis.lookalikes import look_alike
from chassis.notation import amount, moment
from chassis.paging import page, read_cursor, write_cursor
from inventory.errors import ProductNotFound
from inventory.messages import Line
from inventory.models import Refusal, products, stock_movements
from inventory.status import ProductStatus

Product = Row[Any]

_BY_ID = text("SELECT id, sku, name, price, stock_quantity, status FROM products WHERE id = ANY(CAST(:ids AS uuid[]))")


def merge_lines(lines: Iterable[Line]) -> dict[UUID, int]:
    """How many units of each product these lines want together, in the order in which products are first named."""
    wanted: dict[UUID, int] = {}
    for line in lines:
        wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    return wanted


def products_by_id(session: Session, ids: Collection[UUID]) -> dict[UUID, Product]:
    """The products with these ids; an id that is unknown is missing from the answer."""
    return {row.id: row for row in session.execute(_BY_ID, {"ids": list(ids)})}


def why_not(product_id: UUID, product: Product | None, wanted: int, left: int) -> Refusal | None:
    """Why ``wanted`` units cannot be had while ``left`` are there; None when they can. Status is not asked here."""
    if product is None:
        return Refusal("unknown_product", f"There is no product {product_id}.")
    if wanted > left:
        return Refusal("insufficient_stock", f"{product.name} ({product.sku}): {wanted} wanted, {left} in stock.")
    return None


def why_not_order(product_id: UUID, product: Product | None, wanted: int) -> Refusal | None:
    """Why a new order for ``wanted`` units of this product would be refused now; None when it would not."""
    if product is not None and product.status != ProductStatus.ACTIVE:
        return Refusal("product_inactive", f"{product.name} ({product.sku}) is {product.status}.")
    return why_not(product_id, product, wanted, product.stock_quantity if product is not None else 0)


def check_lines(session: Session, lines: Collection[Line]) -> dict[str, Any]:
    """Line by line: could this be ordered now? Lines of the same product are judged by what they want together."""
    wanted = merge_lines(lines)
    stock = products_by_id(session, wanted)
    refusals = {each: why_not_order(each, stock.get(each), quantity) for each, quantity in wanted.items()}
    items = [_line_answer(line, stock.get(line.product_id), refusals[line.product_id]) for line in lines]
    return {"available": not any(refusals.values()), "items": items}


def _line_answer(line: Line, product: Product | None, refusal: Refusal | None) -> dict[str, Any]:
    return {
        "product_id": line.product_id,
        "quantity": line.quantity,
        "available": refusal is None,
        "reason": refusal.reason if refusal else None,
        "detail": refusal.detail if refusal else None,
        "stock_quantity": product.stock_quantity if product is not None else None,
        "price": product.price if product is not None else None,
    }


def find_product(session: Session, product_id: UUID) -> Product:
    """One product. Raises ProductNotFound."""
    return known(product_id, session.execute(select(products).where(products.c.id == product_id)).one_or_none())


def known(product_id: UUID, product: Product | None) -> Product:
    """This row, if there is one. Raises ProductNotFound."""
    if product is None:
        raise ProductNotFound(f"There is no product {product_id}.")
    return product


#: What a list of products can be sorted by, and how a cursor's value of it is read back.
SORTS: Mapping[str, Any] = {"created_at": moment, "sku": str, "name": str, "price": amount}


def list_products(
    session: Session, *, sort: str, limit: int, cursor: str | None, **filters: str | None
) -> dict[str, Any]:
    """A page of products: ``{"items", "next_cursor"}``. ``sort`` is one of SORTS, with ``-`` for the other way round.

    ``filters``: ``status`` and ``sku`` are equal, ``q`` is contained in name or SKU, in either case. Raises Invalid.
    """
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    keys = [products.c[name], products.c.id]
    query = (
        _filtered(session, **filters).order_by(*(key.desc() if descending else key for key in keys)).limit(limit + 1)
    )
    if cursor:
        of, *position = read_cursor(cursor, str, SORTS[name], UUID)
        if of != sort:
            rule = f"belongs to a list sorted by {of}"
            raise Invalid(f"cursor {rule}", errors=[{"field": "cursor", "message": rule}])
        behind = tuple_(*keys)
        query = query.where(behind < tuple_(*position) if descending else behind > tuple_(*position))
    rows = session.execute(query).all()
    return page(
        rows, limit, lambda row: write_cursor(sort, getattr(row, name), row.id), lambda row: len(row.description)
    )


def _filtered(session: Session, status: str | None = None, sku: str | None = None, q: str | None = None) -> Select[Any]:
    query = select(products)
    if status is not None:
        query = query.where(products.c.status == status)
    if sku is not None:
        query = query.where(products.c.sku.in_(spellings(sku)))
    if q is not None:
        # Reads the whole catalogue: fine for tens of thousands of products; pg_trgm would come before a million.
        columns = (products.c.name, products.c.sku)
        query = query.where(or_(*(contains(session, each, part) for part in spellings(q) for each in columns)))
    return query


_LOOKALIKES = text(
    "SELECT DISTINCT CAST(json_agg(json_build_object('id', id, 'sku', sku) ORDER BY created_at, id) AS text) AS alike"
    " FROM sku_looks JOIN products ON id = product_id GROUP BY look HAVING count(*) > 1 ORDER BY 1"
)


def lookalikes(session: Session) -> list[list[dict[str, str]]]:
    """Groups of products whose SKUs look the same, each as ``{"id", "sku"}``, the oldest of a group first.

    What the release before has made since the last product of this one is not among them yet.
    """
    groups = (json.loads(row.alike) for row in session.execute(_LOOKALIKES))
    alike = (
        [each for each in group if any(look_alike(each["sku"], other["sku"]) for other in group if other is not each)]
        for group in groups
    )
    return [group for group in alike if group]


def list_movements(session: Session, product_id: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """A page of a product's ledger, newest first. Raises ProductNotFound, Invalid."""
    find_product(session, product_id)
    query = select(stock_movements).where(stock_movements.c.product_id == product_id)
    if cursor:
        (last,) = read_cursor(cursor, UUID)
        query = query.where(stock_movements.c.id < last)
    rows = session.execute(query.order_by(stock_movements.c.id.desc()).limit(limit + 1)).all()
    return page(rows, limit, lambda row: write_cursor(row.id))
