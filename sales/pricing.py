"""The catalogue has answered: an order gets its prices and its total, or is rejected.

Takes a session, never commits; answers for each order of the bundle, in their order.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from sales.messages import InventoryResponse, Recorded
from sales.models import lock_orders, order_items
from sales.status import OrderStatus
from sales.timeline import Event, add_events, announce, close_sagas

S = OrderStatus


def record_inventory_responses(session: Session, responses: Sequence[InventoryResponse]) -> list[Recorded]:
    """Fix the prices and the total of these orders, or reject them. The first response of an order wins.

    An order that is no longer Pending goes no further: somebody cancelled it, or another copy was faster.
    """
    known = lock_orders(session, [each.order_id for each in responses])
    lines = _lines_of(session, list(known))
    pricing, rejected, answers = _Pricing(), dict[UUID, InventoryResponse](), []
    for response in responses:
        order = known[response.order_id]
        if order.status != S.PENDING or response.order_id in rejected:
            answers.append(Recorded(order_id=order.id, ended=True, outcome="refused", reason="no_longer_pending"))
        elif order.total_amount is not None or response.order_id in pricing.totals:
            answers.append(Recorded(order_id=order.id))
        else:
            refusal = _refusal(response, lines[order.id])
            if refusal is None:
                pricing.add(response, lines[order.id])
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
        self.items: list[tuple[int, str, Decimal]] = []
        self.correlation_ids: dict[UUID, str | None] = {}

    def add(self, response: InventoryResponse, lines: list[Row[Any]]) -> None:
        entries = {each.product_id: each for each in response.catalogue}
        self.correlation_ids[response.order_id] = response.correlation_id
        self.totals[response.order_id] = sum(
            (entries[line.product_id].price * line.quantity for line in lines), Decimal(0)
        )
        self.items += [(line.id, entries[line.product_id].name, entries[line.product_id].price) for line in lines]


def _lines_of(session: Session, order_ids: list[UUID]) -> dict[UUID, list[Row[Any]]]:
    lines: dict[UUID, list[Row[Any]]] = {order_id: [] for order_id in order_ids}
    for row in session.execute(select(order_items).where(order_items.c.order_id.in_(order_ids))):
        lines[row.order_id].append(row)
    return lines


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
            )
    return None


def _write_prices(session: Session, pricing: _Pricing) -> None:
    if not pricing.totals:
        return
    session.execute(
        text(
            "UPDATE order_items SET product_name = v.name, price = v.price"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[]), CAST(:prices AS numeric[]))"
            " AS v(id, name, price) WHERE order_items.id = v.id"
        ),
        {
            "ids": [item[0] for item in pricing.items],
            "names": [item[1] for item in pricing.items],
            "prices": [item[2] for item in pricing.items],
        },
    )
    session.execute(
        text(
            "UPDATE orders SET total_amount = v.total, version = version + 1, updated_at = now()"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:totals AS numeric[])) AS v(id, total) WHERE orders.id = v.id"
        ),
        {"ids": [str(each) for each in pricing.totals], "totals": list(pricing.totals.values())},
    )
    add_events(
        session,
        [
            Event(
                order_id,
                "priced",
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
                "rejected",
                0,
                "inventory",
                S.PENDING,
                S.REJECTED,
                each.detail or each.reason,
                each.correlation_id,
            )
            for each in refusals
        ],
    )
    ids = [each.order_id for each in refusals]
    close_sagas(session, ids, at_last_step=False)
    announce(session, dict.fromkeys(ids, S.REJECTED))
