"""How orders look on a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Order = Mapping[str, Any]
Event = Mapping[str, Any]


def in_full(order: Order, events: Iterable[Event]) -> Iterator[str]:
    """An order with its lines and its timeline."""
    yield headline(order)
    attention = order.get("attention")
    if attention:
        since = f", since {moment(attention['since'])}" if attention["since"] else ""
        yield f"needs attention: {attention['detail']} ({attention['code']}{since})"
        yield f"  what to do next: {attention['next']}"
    yield f"customer {order['customer_id']}, placed {moment(order['created_at'])}"
    yield f"to {' '.join(order['delivery_address'].split())}"
    for line in order["items"]:
        named = "  ".join(filter(None, [line["sku"] or line["product_id"], line["product_name"]]))
        yield f"  {line['quantity']:>6} x {named}  {line['price'] or 'not priced'}"
    began = None
    for event in events:
        began = began or event["at"]
        yield happened(event, began)


def headline(order: Order) -> str:
    """One line about an order: ``0192... Pending Shipment, 25.00 EUR``, ``0192... Rejected (code): sentence``."""
    parts = [f"{order['status']}{f' ({why})' if (why := order.get('reason')) else ''}"]
    if order.get("total_amount") is not None:
        parts.append(f"{order['total_amount']} {order['currency']}")
    if order.get("delivery_status"):
        parts.append(f"delivery {order['delivery_status']}")
    if order.get("needs_attention"):
        parts.append("NEEDS ATTENTION")
    why = f": {order['reason_detail']}" if order.get("reason_detail") else ""
    return f"{order['id']}  {', '.join(parts)}{why}"


def row(order: Order) -> str:
    """An order in a list."""
    total = f"{order['total_amount']} {order['currency']}" if order["total_amount"] is not None else "-"
    count = order.get("items_count", len(order["items"]))
    lines = f"{count} line" if count == 1 else f"{count} lines"
    why = f"  {order['reason']}: {order['reason_detail']}" if order["reason"] else ""
    flag = f"  NEEDS ATTENTION: {order['attention_reason']}" if order["needs_attention"] else ""
    return f"{order['id']}  {moment(order['created_at'])}  {order['status']:<16} {total:>16}  {lines}{why}{flag}"


def happened(event: Event, began: str) -> str:
    """An event with its time, and how long after ``began`` (a time, too) it came. Events are printed nowhere else."""
    later = (datetime.fromisoformat(event["at"]) - datetime.fromisoformat(began)).total_seconds()
    before, after = event.get("from_status"), event.get("to_status")
    move = " ".join(filter(None, [before, "->", after])) if after and after != before else ""
    code = f"({event['code']})" if event.get("code") else ""
    said = "  ".join(filter(None, [move, event.get("reason"), code]))
    return f"  {moment(event['at'])[11:]}  {later:+9.3f} s  {event['kind']:<20}  {said}".rstrip()


def moment(text: str) -> str:
    """A time of the API for people: ``2026-11-22 10:00:00.123``, as it is there, in UTC."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
