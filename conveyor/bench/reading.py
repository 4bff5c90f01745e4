"""The parts that only read."""

import itertools
from typing import Any
from urllib.parse import urlencode

from conveyor.bench.load import LoadFailed, request, send
from conveyor.bench.run import Bench, Document, NotMeasured, beside, say
from conveyor.latency import percentiles

#: Rows of a page, cursors that are followed, and how often the first and the last page are read.
PAGE, CURSORS, TIMES = 20, 1_000, 300

_BIGGEST = (
    "SELECT CAST(customer_id AS text) AS customer_id, count(*) AS orders FROM orders GROUP BY customer_id"
    " ORDER BY count(*) DESC LIMIT 1"
)
_NEWEST = "SELECT CAST(id AS text) AS id FROM orders ORDER BY created_at DESC LIMIT :count"


def reads(bench: Bench) -> Document:
    """Orders read by their ids through the gateway, by all clients. Raises LoadFailed, GatewayError."""
    url, count = bench.settings.gateway_url, bench.options.orders
    before = bench.short_load()
    ids = [row.id for row in bench.shop.asking("sales", _NEWEST, count=count)]
    paths = itertools.islice(itertools.cycle(ids), count)
    requests = [request("GET", url, f"/orders/{each}") for each in paths]
    answers = send(url, requests, bench.options.clients, "reads")
    compared = beside(before, bench.short_load())
    if answers.accepted < count:
        raise LoadFailed(f"{count - answers.accepted} of {count} reads failed: {'; '.join(answers.errors)}")
    bench.latencies["reads"] = answers.took
    return compared | {
        "per_second": round(answers.per_second, 2),
        "reads": count,
        "get_ms": percentiles([1_000 * each for each in answers.took]),
    }


def lists(bench: Bench) -> Document:
    """Pages of the list of orders, filtered and sorted, the first and a late one, on a quiet system.

    Raises LoadFailed, GatewayError, NotMeasured.
    """
    biggest = bench.shop.asking("sales", _BIGGEST)
    if not biggest:
        raise NotMeasured("there are no orders to list")
    customer = biggest[0].customer_id
    filters: dict[str, dict[str, Any]] = {
        "Delivered": {"status": "Delivered"},
        "Pending Shipment": {"status": "Pending Shipment"},
        "a customer's": {"customer_id": customer},
        "a customer's Pending Shipment": {"customer_id": customer, "status": "Pending Shipment"},
    }
    found: Document = {"orders": bench.shop.asking("sales", "SELECT count(*) AS orders FROM orders")[0].orders}
    worst = []
    for filtered, wanted in filters.items():
        for sort in ("-created_at", "created_at"):
            query = {**wanted, "sort": sort, "limit": PAGE}
            name = f"{filtered}, by {sort}"
            first = _milliseconds(bench, query)
            cursor, followed = _follow(bench, query)
            late = _milliseconds(bench, {**query, "cursor": cursor}) if cursor else first
            say(f"    {name}: p99 {first['p99']} ms, after {followed:,} cursors {late['p99']} ms")
            found[name] = {"first_ms": first, "late_ms": late, "cursors": followed}
            worst += [first["p99"] or 0.0, late["p99"] or 0.0]
    return found | {"worst_p99_ms": max(worst)}


def _follow(bench: Bench, query: dict[str, Any]) -> tuple[str | None, int]:
    """The cursor of a late page, and how many pages come before it."""
    cursor, followed = None, 0
    for followed in range(CURSORS):
        page = bench.shop.gateway.get("/orders", **query, **({"cursor": cursor} if cursor else {})).body
        if not page["next_cursor"]:
            return cursor, followed
        cursor = page["next_cursor"]
    return cursor, followed + 1


def _milliseconds(bench: Bench, query: dict[str, Any]) -> dict[str, float | None]:
    url = bench.settings.gateway_url
    answers = send(url, [request("GET", url, f"/orders?{urlencode(query)}")] * TIMES, 1, "pages")
    if answers.accepted < TIMES:
        raise LoadFailed(f"a page was refused: {'; '.join(answers.errors)}")
    return percentiles([1_000 * each for each in answers.took])
