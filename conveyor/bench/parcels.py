"""The parts in which couriers move parcels."""

import time

from conveyor.bench.load import LoadFailed, request, send
from conveyor.bench.pipeline import Orders
from conveyor.bench.run import PLACED, Bench, Document, beside
from conveyor.bench.shop import DOMAIN
from conveyor.latency import percentiles

#: Parcels that are moved one at a time, and all at once.
ALONE, UPDATES = 100, 10_000
#: Seconds until an order must show what its parcel is.
PATIENCE = 60.0
MOVED = "In Transit"

_WAITING = (
    "SELECT CAST(orders.id AS text) AS id FROM orders JOIN customers ON customers.id = customer_id"
    f" WHERE email LIKE '%@{DOMAIN}' AND status = '{PLACED}' ORDER BY orders.created_at DESC LIMIT :count"
)
_DELIVERIES = (
    "SELECT CAST(order_id AS text) AS order_id, id FROM deliveries"
    " WHERE order_id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING'"
)


def parcel(bench: Bench) -> Document:
    """One parcel at a time: from the courier's PATCH until its order shows it. Raises GatewayError, LoadFailed."""
    shown, gateway = [], bench.shop.gateway
    for order_id, delivery in _parcels(bench, min(ALONE, bench.options.orders)).items():
        began = time.perf_counter()
        gateway.patch(f"/deliveries/{delivery}/status", {"status": "IN_TRANSIT"})
        while gateway.get(f"/orders/{order_id}").body["status"] != MOVED:
            if time.perf_counter() - began > PATIENCE:
                raise LoadFailed(f"order {order_id} does not show after {PATIENCE:g} s that its parcel has left")
        shown.append(1_000 * (time.perf_counter() - began))
    return {"parcels": len(shown), "shown_ms": percentiles(shown)}


def courier(bench: Bench) -> Document:
    """Every client reports parcels as fast as it is answered, until all orders show it. Raises LoadFailed."""
    parcels = _parcels(bench, min(UPDATES, bench.options.orders))
    url, body = bench.settings.gateway_url, {"status": "IN_TRANSIT"}
    requests = [request("PATCH", url, f"/deliveries/{each}/status", body) for each in parcels.values()]
    before = bench.short_load()
    with Orders(bench.shop.pipeline.database) as table:
        began = table.clock()
        answers = send(url, requests, bench.options.clients, "updates")
        last, behind = table.wait_until_left(list(parcels), PLACED, PATIENCE)
    compared = beside(before, bench.short_load())
    wrong = [] if answers.accepted == len(requests) else [f"refused: {'; '.join(answers.errors)}"]
    if behind:
        wrong.append(f"{behind} orders do not show after {PATIENCE:g} s that their parcel has left")
    bench.latencies["courier"] = answers.took
    return compared | {
        "updates": len(requests),
        "per_second": round(len(requests) / (last - began), 2),
        "accepted_per_second": round(answers.per_second, 2),
        "patch_ms": percentiles([1_000 * each for each in answers.took]),
        "wrong": wrong,
    }


def _parcels(bench: Bench, count: int) -> dict[str, int]:
    """Deliveries that wait to leave, by order; where there are not enough, orders are placed. Raises LoadFailed."""
    ids = _waiting(bench, count)
    if len(ids) < count:
        bench.ordinary_load("orders to be moved")
        ids = _waiting(bench, count)
    rows = bench.shop.asking("delivery", _DELIVERIES, ids=ids)
    return {row.order_id: row.id for row in rows}


def _waiting(bench: Bench, count: int) -> list[str]:
    return [row.id for row in bench.shop.asking("sales", _WAITING, count=count)]
