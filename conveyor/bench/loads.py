"""The parts that place orders."""

import time
from contextlib import ExitStack, suppress
from uuid import uuid4

from conveyor import latency
from conveyor.bench import book
from conveyor.bench.load import request
from conveyor.bench.measure import measure
from conveyor.bench.run import PLACED, WARM_UP, Bench, Document, beside, say, wrong_statuses
from conveyor.bench.seed import seed
from conveyor.bench.servers import NotOurs, Servers
from conveyor.bench.shop import Shop
from conveyor.client import Gateway
from conveyor.own_stack import started

#: Buyers of a flash sale, and how many of them want each of its units.
BUYERS, WANT = 5_000, 5
#: Orders that are placed one at a time.
ALONE = 100
#: Customers to whom the seeded orders belong: few enough that each has more pages than anybody turns.
CUSTOMERS = 20


def orders(bench: Bench) -> Document:
    """The ordinary load: every client buys some products of many, as fast as it is answered."""
    measured = bench.ordinary_load("orders")
    return measured.document() | {"wrong": wrong_statuses(measured, {PLACED: bench.options.orders})}


def idle(bench: Bench) -> Document:
    """One order at a time, with nothing else going on. Raises GatewayError."""
    patience = latency.PATIENCE
    gateway = Gateway(bench.settings.gateway_url, timeout=patience + 20.0, patience=patience)
    measured = latency.measure(gateway, min(ALONE, bench.options.orders))
    return {
        "post_ms": latency.percentiles(measured.post),
        "to_pending_shipment": latency.percentiles(measured.seen_by_client),
        "by_events_ms": latency.percentiles(measured.by_events),
        "wrong": [f"order {each} was not {PLACED} after {patience} s" for each in measured.unended],
    }


def replay(bench: Bench) -> Document:
    """The order book, one order for each invoice. Raises LoadFailed, GatewayError, NotMeasured."""
    read, url, clients = book.read(bench.options), bench.settings.gateway_url, bench.options.clients
    say(f"  {book.file_of(bench.options).name}: {len(read.invoices):,} orders, {len(read.products):,} products")
    stocked = bench.shop.stocked({f"BOOK-{sku}": str(each.price) for sku, each in read.products.items()})
    ids, customer = {sku: stocked[f"BOOK-{sku}"] for sku in read.products}, bench.shop.customer("replay")
    warm_up = book.requests(url, read, ids, customer)[:WARM_UP]
    measure(bench.shop.pipeline, customer, warm_up, clients, "orders to warm up")
    requests = book.requests(url, read, ids, customer)
    measured = measure(bench.shop.pipeline, customer, requests, clients, "orders of the book")
    bench.latencies["replay"] = measured.answers.took
    more = {"orders": len(requests), "lines": sum(len(each.items) for each in read.invoices)}
    return measured.document() | more | {"wrong": wrong_statuses(measured, {PLACED: len(requests)})}


def flash(bench: Bench) -> Document:
    """Everybody wants one of the same few units at once. Raises LoadFailed, GatewayError."""
    buyers = min(BUYERS, bench.options.orders)
    stock = max(1, buyers // WANT)
    product, customer = bench.shop.product(stock), bench.shop.customer("flash")
    body = {"customer_id": customer, "items": [{"product_id": product, "quantity": 1}]}
    requests = [request("POST", bench.settings.gateway_url, "/orders", body) for _ in range(buyers)]
    before = bench.short_load()
    measured = measure(bench.shop.pipeline, customer, requests, bench.options.clients, "buyers")
    compared = beside(before, bench.short_load())
    bench.latencies["flash"] = measured.answers.took
    wrong = wrong_statuses(measured, {PLACED: stock, "Rejected": buyers - stock})
    left = bench.shop.gateway.get(f"/products/{product}").body["stock_quantity"]
    if left:
        wrong.append(f"{left} of {stock} units are left, though {buyers} wanted one")
    return measured.document() | compared | {"buyers": buyers, "stock": stock, "wrong": wrong}


def seeded(bench: Bench) -> Document:
    """The ordinary load again, with a great many orders in the databases, beside a system that has none.

    Raises LoadFailed, psycopg2's errors.
    """
    count = bench.options.seeded
    customers = [bench.shop.customer(f"seeded-{number}") for number in range(CUSTOMERS)]
    began = time.monotonic()
    seed(bench.settings, str(uuid4()), count, customers, bench.shop.products(bench.options.products))
    with suppress(NotOurs):  # another's server writes its pages when it likes
        Servers(bench.settings).checkpoint()
    took = time.monotonic() - began
    say(f"  {count:,} orders were put in within {took:.0f} s")
    with ExitStack() as stack:
        empty = _empty(bench, stack)
        before = [each.short_load() for each in empty]
        measured = bench.ordinary_load("seeded")
        compared = beside(*before, *[each.short_load() for each in empty]) if empty else {}
    more = {"seeded": count, "seeding_seconds": round(took, 1)} | compared
    return measured.document() | more | {"wrong": wrong_statuses(measured, {PLACED: bench.options.orders})}


def _empty(bench: Bench, stack: ExitStack) -> list[Bench]:
    """A system with empty databases on this machine; none where the one that is measured runs elsewhere."""
    if not bench.shop.processes():
        return []
    settings = stack.enter_context(started())
    return [Bench(settings, bench.options, Shop(settings))]
