"""What has to exist before the first order of a run can be sent: products, their stock, customers. In that order.

Runs share one catalogue: a product's sku is its stock code, and one that exists keeps its price and its texts. A new
run sets the stock of every product in the book by an adjustment of the difference, under an idempotency key of run
and product. Customers belong to their run and come last, so that a run whose first customer exists has its stock: a
second replay of a run adjusts nothing. A crash in between is made good by the next replay, since nothing is sold
before the customers exist.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from conveyor.client import JSON, Gateway, Refused, key_of
from conveyor.parallel import each, progress
from conveyor.replay.book import Book, Invoice, Product

#: A till sells on while the stock is set, so the difference may have changed when it is booked.
TRIES = 3


@dataclass(slots=True)
class Ids:
    """The gateway's ids of a book's products and customers, and why it took some of them not."""

    products: dict[str, str] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    refused_products: dict[str, str] = field(default_factory=dict)
    refused_customers: dict[str, str] = field(default_factory=dict)


def has_begun(gateway: Gateway, run: str, book: Book) -> bool:
    """Whether an earlier replay of this run got as far as its customers. Raises GatewayError."""
    return _customer_id(gateway, email_of(run, book.invoices[0].customer)) is not None


def prepare(
    gateway: Gateway,
    run: str,
    book: Book,
    invoices: Iterable[Invoice],
    *,
    stock: int | None,
    begun: bool,
    concurrency: int,
) -> Ids:
    """Create what is missing of the whole book's products, and of the customers of these invoices.

    ``stock`` is what every product shall have, None for enough for the whole book; ``begun`` leaves the stock of
    products that exist as it is. Raises GatewayError when the gateway is away for longer than the client's patience.
    """
    ids = Ids()
    product = partial(_ensure_product, gateway, run, stock, begun)
    _all("products", product, book.products, ids.products, ids.refused_products, concurrency)
    countries = {each.customer: each.country for each in reversed(list(invoices))}
    customer = partial(_ensure_customer, gateway, run)
    _all("customers", customer, countries, ids.customers, ids.refused_customers, concurrency)
    return ids


def email_of(run: str, customer: str) -> str:
    """The address under which a customer of a run is found again; the empty customer is the guest."""
    who = f"customer-{_slug(customer)}" if customer else "guest"
    return f"{who}@{_slug(run)}.replay.example"


def _all(
    label: str,
    ensure: Callable[[str, Any], str],
    wanted: Mapping[str, Any],
    found: dict[str, str],
    refused: dict[str, str],
    concurrency: int,
) -> None:
    """Ensure that each of these exists. One that the gateway refuses is noted, and stops nobody else."""

    def one(item: tuple[str, Any]) -> tuple[dict[str, str], str, str]:
        try:
            return found, item[0], ensure(*item)
        except Refused as refusal:
            if refusal.passing:
                raise
            return refused, item[0], str(refusal).replace("\n", " ")

    with progress(label, len(wanted)) as advance:
        for into, name, text in each(one, wanted.items(), concurrency):
            into[name] = text
            advance(1)


def _ensure_product(gateway: Gateway, run: str, stock: int | None, begun: bool, sku: str, product: Product) -> str:
    found = _product(gateway, sku) or _create_product(gateway, run, stock, product)
    if not begun:
        _set_stock(gateway, run, stock, product, found)
    return str(found["id"])


def _create_product(gateway: Gateway, run: str, stock: int | None, product: Product) -> JSON:
    body = {
        "sku": product.sku,
        "name": product.name,
        "price": str(product.price),
        "stock_quantity": product.demand if stock is None else stock,
    }
    try:
        return cast(JSON, gateway.post("/products", body, key=key_of("replay", run, "product", product.sku)).body)
    except Refused as refusal:
        # Another run made it between our look and our request.
        found = _product(gateway, product.sku) if refusal.code in ("sku_taken", "idempotency_key_reused") else None
        if found is None:
            raise
        return found


def _product(gateway: Gateway, sku: str) -> JSON | None:
    return next((each for each in gateway.get("/products", sku=sku).body["items"] if each["sku"] == sku), None)


def _set_stock(gateway: Gateway, run: str, stock: int | None, product: Product, found: JSON) -> None:
    for left in reversed(range(TRIES)):
        has = int(found["stock_quantity"])
        wanted = max(has, product.demand) if stock is None else stock
        if wanted == has:
            return
        body = {"quantity": wanted - has, "reason": f"replay {run}: stock set to {wanted}"}
        try:
            gateway.post(f"/products/{found['id']}/stock", body, key=key_of("replay", run, "stock", product.sku))
            return
        except Refused as refusal:
            if refusal.code == "idempotency_key_reused":
                return  # An earlier replay of this run, which did not get as far as its customers, has set it.
            if not left:
                raise
            found = _product(gateway, product.sku) or found


def _ensure_customer(gateway: Gateway, run: str, customer: str, country: str) -> str:
    email = email_of(run, customer)
    name = f"Customer {customer}" if customer else "Guest"
    body = {"name": name, "email": email, "address": country or "no address in the order book"}
    found = _customer_id(gateway, email)
    return found or str(gateway.post("/customers", body, key=key_of("replay", run, "customer", customer)).body["id"])


def _customer_id(gateway: Gateway, email: str) -> str | None:
    found = gateway.get("/customers", email=email).body["items"]
    return str(found[0]["id"]) if found else None


def _slug(text: str) -> str:
    """Text as part of an e-mail address; a digest keeps apart what would look the same."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
    if plain == text:
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}".strip("-")
