"""``conveyor latency``: how long one order takes when nothing else is going on."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import click

from conveyor.client import Gateway
from conveyor.order.follow import follow
from conveyor.own_stack import system
from conveyor.parallel import progress
from conveyor.ranges import WholeRange
from conveyor.terminal import say, say_json

#: Orders of each kind that are not counted: connections are opened and modules imported.
WARM_UP = 3
#: Seconds that an order may take.
PATIENCE = 10
PLACED = "Pending Shipment"


@dataclass
class Measured:
    """Milliseconds, one for each order. ``unended`` are the ids of orders that did not get as far in time."""

    post: list[float] = field(default_factory=list)
    seen_by_client: list[float] = field(default_factory=list)
    by_events: list[float] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)


@click.command()
@click.option("--orders", type=WholeRange(1, 10_000), default=100, show_default=True, help="Of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def latency(context: click.Context, orders: int, as_json: bool) -> None:
    """Measure how long an order takes on an idle system, one at a time, through the gateway.

    \b
      POST                    POST /orders until its answer: the order is stored
      to Pending Shipment     the same with `Prefer: wait`: checked, reserved and dispatched when the answer comes
      between the events      placed and Pending Shipment in the order's timeline, by the database's clock

    \b
      make latency
      conveyor latency --orders 1000 --json

    Works on the running system; where none is running, it starts one of its own, with its data in a temporary
    directory, and stops it afterwards. Its orders are for a product of their own, and are cancelled in the end.

    Exit code: 0 every order got to Pending Shipment, 1 one did not.
    """
    with system() as settings:
        measured = measure(Gateway(settings.gateway_url, timeout=PATIENCE + 20.0, patience=PATIENCE), orders)
    shown = {
        "POST": measured.post,
        "to Pending Shipment": measured.seen_by_client,
        "between the events": measured.by_events,
    }
    if as_json:
        answer = {name.lower().replace(" ", "_"): percentiles(values) for name, values in shown.items()}
        say_json({"unit": "ms", "orders": orders, **answer, "unended": measured.unended})
    else:
        say(f"{'milliseconds':<22} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}   of {orders} orders each")
        for name, values in shown.items():
            say(f"{name:<22} " + " ".join(map(_cell, percentiles(values).values())))
    for order_id in measured.unended:
        say(f"order {order_id} was not {PLACED} after {PATIENCE} s", err=True)
    context.exit(1 if measured.unended else 0)


def measure(gateway: Gateway, count: int) -> Measured:
    """Place so many orders that wait, and as many that do not, in turn. Raises GatewayError, StillOpen."""
    customer = gateway.post(
        "/customers", {"name": "Latency", "email": f"{uuid4()}@latency.example", "address": "here"}, key=str(uuid4())
    ).body
    stock = 2 * (count + WARM_UP)
    wanted = {"sku": f"LATENCY-{uuid4()}", "name": "Latency", "price": "1.00", "stock_quantity": stock}
    product = gateway.post("/products", wanted, key=str(uuid4())).body
    body = {"customer_id": customer["id"], "items": [{"product_id": product["id"], "quantity": 1}]}
    placed: list[str] = []
    try:
        _place_all(gateway, body, WARM_UP, placed)
        with progress("orders", 2 * count) as advance:
            return _place_all(gateway, body, count, placed, advance)
    finally:
        for order_id in placed:
            gateway.post(f"/orders/{order_id}/cancel", {"reason": "latency"})
        gateway.patch(f"/products/{product['id']}", {"status": "discontinued"})


def _place_all(
    gateway: Gateway,
    body: dict[str, object],
    count: int,
    placed: list[str],
    advance: Callable[[int], None] = lambda _done: None,
) -> Measured:
    measured = Measured()
    for _ in range(count):
        began = time.perf_counter()
        order = gateway.post("/orders", body).body
        measured.post.append(_since(began))
        placed.append(order["id"])
        for _event in follow(gateway, order["id"], patience=PATIENCE):
            pass  # the next one is alone again
        began = time.perf_counter()
        order = gateway.post("/orders", body, headers={"Prefer": f"wait={PATIENCE}"}).body
        took = _since(began)
        placed.append(order["id"])
        if order["status"] == PLACED:
            measured.seen_by_client.append(took)
            measured.by_events.append(between_events(list(gateway.every(f"/orders/{order['id']}/events"))))
        else:
            measured.unended.append(order["id"])
        advance(2)
    return measured


def between_events(events: Sequence[Mapping[str, str]]) -> float:
    """Milliseconds from an order's first event to the one that made it Pending Shipment."""
    began = datetime.fromisoformat(events[0]["at"])
    ended = next(datetime.fromisoformat(each["at"]) for each in events if each.get("to_status") == PLACED)
    return (ended - began).total_seconds() * 1_000


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and the largest, by nearest rank; None where there are no values."""
    ordered = sorted(values)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    if not ordered:
        return dict.fromkeys(ranks)
    return {name: round(ordered[math.ceil(part * len(ordered)) - 1], 3) for name, part in ranks.items()}


def _cell(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.1f}"


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1_000
