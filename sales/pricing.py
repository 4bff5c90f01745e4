"""The catalogue has answered: an order gets its prices and its total, or is rejected.

Takes a session, never commits; answers for each order of the bundle, in their order.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from chassis.database import recordset
from sales.messages import InventoryResponse, Recorded
from sales.status import OrderStatus
from sales.timeline import Event, Kind, add_events, announce, close_sagas

S = OrderStatus


def record_inventory_responses(session: Session, responses: Sequence[InventoryResponse]) -> list[Recorded]:
    """Fix the prices and the total of these orders, or reject them. The first response of an order wins.

    An order that is no longer Pending goes no further: somebody cancelled it, or another copy was faster.
    """
    known = lock_with_lines(session, [each.order_id for each in responses])
    pricing, rejected, answers = _Pricing(), dict[UUID, InventoryResponse](), []
    for response in responses:
        lines = known[response.order_id]
        order = lines[0]
        if order.status != S.PENDING or response.order_id in rejected:
            answers.append(Recorded(order_id=order.id, ended=True, outcome="refused", reason="no_longer_pending"))
        elif order.total_amount is not None or response.order_id in pricing.totals:
            answers.append(Recorded(order_id=order.id))
        else:
            refusal = _refusal(response, lines)
            if refusal is None:
                pricing.add(response, lines)
                answers.append(Recorded(order_id=order.id))
            else:
                rejected[order.id] = refusal
                answers.append(Recorded(order_id=order.id, ended=True, outcome="refused", reason=refusal.reason))
    _write_prices(session, pricing)
    _reject(session, list(rejected.values()))
    return answers


class _Pricing:
    """The prices and totals of the orders of a bundle, gathered to be written at once."""

    def __init__(self) -> None:
        self.totals: dict[UUID, Decimal] = {}
        self.lines: list[tuple[int, str | None, str, Decimal]] = []
        self.correlation_ids: dict[UUID, str | None] = {}

    def add(self, response: InventoryResponse, lines: list[Row[Any]]) -> None:
        entries = {each.product_id: each for each in response.catalogue}
        self.correlation_ids[response.order_id] = response.correlation_id
        self.totals[response.order_id] = sum(
            (entries[line.product_id].price * line.quantity for line in lines), Decimal(0)
        )
        for line in lines:
            entry = entries[line.product_id]
            self.lines.append((line.line_id, entry.sku, entry.name, entry.price))


# The lines never change once the order is there, but for the prices: they are written here, and only together with the
# total, which is read from the row as it is once it is locked. So lines and lock can be had in one statement.
# (The ids are named twice: without statistics the planner would read all lines of all orders rather than look some up.)
_LOCK_WITH_LINES = text(
    "SELECT orders.id, status, total_amount, lines.id AS line_id, product_id, quantity, price"
    " FROM orders JOIN order_items AS lines ON lines.order_id = orders.id"
    " WHERE orders.id = ANY(CAST(:ids AS uuid[])) AND lines.order_id = ANY(CAST(:ids AS uuid[]))"
    " ORDER BY orders.id FOR UPDATE OF orders"
)


def lock_with_lines(session: Session, order_ids: Collection[UUID]) -> dict[UUID, list[Row[Any]]]:
    """The orders, locked in the order of their ids, line by line. Raises LookupError for one that does not exist."""
    known: dict[UUID, list[Row[Any]]] = {}
    for row in session.execute(_LOCK_WITH_LINES, {"ids": list(order_ids)}):
        known.setdefault(row.id, []).append(row)
    missing = set(order_ids) - known.keys()
    if missing:
        raise LookupError(f"there is no order {min(missing)}")
    return known


def _refusal(response: InventoryResponse, lines: list[Row[Any]]) -> InventoryResponse | None:
    """Why the order cannot be, or None: what the check said, or a price that the customer did not see."""
    if response.outcome == "refused":
        return response
    entries = {each.product_id: each for each in response.catalogue}
    for line in lines:
        entry = entries[line.product_id]
        if line.price is not None and line.price != entry.price:
            detail = f"{entry.name} costs {entry.price}, not {line.price}"
            return InventoryResponse(
                order_id=response.order_id,
                correlation_id=response.correlation_id,
                outcome="refused",
                reason="price_changed",
                detail=detail,
                catalogue=response.catalogue,
            )
    return None


# Arrays and no recordset: of an array the planner knows how many rows it makes, and looks that many orders up.
_WRITE_PRICES = text(
    "WITH priced AS ("
    " UPDATE order_items SET sku = v.sku, product_name = v.name, price = v.price"
    " FROM unnest(CAST(:line_ids AS bigint[]), CAST(:skus AS text[]), CAST(:names AS text[]),"
    " CAST(:prices AS numeric[])) AS v (id, sku, name, price) WHERE order_items.id = v.id)"
    " UPDATE orders SET total_amount = v.total, version = version + 1, updated_at = now()"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:totals AS numeric[])) AS v (id, total) WHERE orders.id = v.id"
)


def _write_prices(session: Session, pricing: _Pricing) -> None:
    if not pricing.totals:
        return
    line_ids, skus, names, prices = map(list, zip(*pricing.lines, strict=True))
    ids, totals = list(pricing.totals), list(pricing.totals.values())
    lines = {"line_ids": line_ids, "skus": skus, "names": names, "prices": prices}
    session.execute(_WRITE_PRICES, {"ids": ids, "totals": totals, **lines})
    add_events(
        session,
        [
            Event(
                order_id,
                Kind.PRICED,
                0,
                "inventory",
                S.PENDING,
                S.PENDING,
                f"total {total}",
                pricing.correlation_ids[order_id],
            )
            for order_id, total in pricing.totals.items()
        ],
    )


# A rejected order has no prices, but its lines are shown like any other's.
_NAME_LINES = text(
    "UPDATE order_items SET sku = v.sku, product_name = v.name"
    " FROM json_to_recordset(:named) AS v (order_id uuid, product_id uuid, sku text, name text)"
    " WHERE order_items.order_id = v.order_id AND order_items.product_id = v.product_id"
    " AND order_items.order_id = ANY(CAST(:ids AS uuid[]))"
)


def _name_lines(session: Session, refusals: list[InventoryResponse]) -> None:
    named = [
        {"order_id": each.order_id, "product_id": entry.product_id, "sku": entry.sku, "name": entry.name}
        for each in refusals
        for entry in each.catalogue
    ]
    if named:
        ids = [each.order_id for each in refusals]
        session.execute(_NAME_LINES, {"named": recordset(named), "ids": ids})


def _reject(session: Session, refusals: list[InventoryResponse]) -> None:
    if not refusals:
        return
    session.execute(
        text(
            "UPDATE orders SET status = 'Rejected', reason = v.reason, version = version + 1, updated_at = now(),"
            " needs_attention = false"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS v(id, reason) WHERE orders.id = v.id"
        ),
        {"ids": [str(each.order_id) for each in refusals], "reasons": [each.reason for each in refusals]},
    )
    add_events(
        session,
        [
            Event(
                each.order_id,
                Kind.REJECTED,
                0,
                "inventory",
                S.PENDING,
                S.REJECTED,
                each.detail or each.reason,
                each.correlation_id,
                each.reason,
            )
            for each in refusals
        ],
    )
    _name_lines(session, refusals)
    ids = [each.order_id for each in refusals]
    close_sagas(session, ids, at_last_step=False)
    announce(session, dict.fromkeys(ids, S.REJECTED))
