"""How orders look on a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Order = Mapping[str, Any]
Event = Mapping[str, Any]


def in_full(order: Order, events: Iterable[Event]) -> Iterator[str]:
    """An order with its lines and its timeline."""
    yield headline(order)
    if order.get("needs_attention"):
        yield f"needs attention: {_attention(order)}"
    yield f"customer {order['customer_id']}, placed {moment(order['created_at'])}"
    yield f"to {' '.join(order['delivery_address'].split())}"
    for line in order["items"]:
        price = line["price"] or "not priced yet"
        yield f"  {line['quantity']:>6} x {line['product_name'] or line['product_id']}  {price}"
    began = None
    for event in events:
        began = began or event["at"]
        yield happened(event, began)


def headline(order: Order) -> str:
    """One line about an order: ``0192... Pending Shipment, 25.00 EUR``."""
    parts = [f"{order['status']}{f' ({why})' if (why := order.get('reason')) else ''}"]
    if order.get("total_amount") is not None:
        parts.append(f"{order['total_amount']} {order['currency']}")
    if order.get("delivery_status"):
        parts.append(f"delivery {order['delivery_status']}")
    if order.get("needs_attention"):
        parts.append("NEEDS ATTENTION")
    return f"{order['id']}  {', '.join(parts)}"


def row(order: Order) -> str:
    """An order in a list."""
    total = f"{order['total_amount']} {order['currency']}" if order["total_amount"] is not None else "-"
    flag = f"  NEEDS ATTENTION: {_attention(order)}" if order["needs_attention"] else ""
    return f"{order['id']}  {moment(order['created_at'])}  {order['status']:<16} {total:>16}{flag}"


def _attention(order: Order) -> str:
    return " ".join((order.get("attention_reason") or "nobody has noted why").split())


def happened(event: Event, began: str) -> str:
    """An event with its time, and how long after ``began`` (a time, too) it came."""
    later = (datetime.fromisoformat(event["at"]) - datetime.fromisoformat(began)).total_seconds()
    before, after = event.get("from_status"), event.get("to_status")
    move = f"{before or ''} -> {after}" if after and after != before else ""
    clock = moment(event["at"])[11:]
    return f"  {clock}  {later:+9.3f} s  {event['kind']:<16} {move} {event.get('reason') or ''}".rstrip()


def moment(text: str) -> str:
    """A time of the API for people: ``2026-11-22 10:00:00.123``, as it is there, in UTC."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
