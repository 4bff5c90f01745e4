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

from chassis.lookalikes import alike_before
from conveyor.client import JSON, Gateway, Refused, key_of
from conveyor.parallel import each, progress
from conveyor.replay.book import Invoice, Product
from conveyor.terminal import say

#: Other runs sell on while the stock is set, so there may be less to take away than there was.
TRIES = 3


@dataclass(slots=True)
class Ids:
    """The gateway's ids of a book's products and customers, and why it took some of them not."""

    products: dict[str, str] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    refused_products: dict[str, str] = field(default_factory=dict)
    refused_customers: dict[str, str] = field(default_factory=dict)


def has_begun(gateway: Gateway, run: str, customer: str) -> bool:
    """Whether an earlier replay of this run got as far as its customers; this is the first. Raises GatewayError."""
    return bool(gateway.get("/customers", email=email_of(run, customer)).body["items"])


@dataclass(frozen=True, slots=True)
class Preparation:
    """Brings about what one run needs.

    ``stock`` is what every product shall have, None for enough for the whole book; ``begun`` leaves the stock of
    products that exist as it is; ``allow_lookalikes`` takes a sku that people take for another one, with a warning.
    """

    gateway: Gateway
    run: str
    stock: int | None
    begun: bool
    concurrency: int
    allow_lookalikes: bool = False

    def prepare(self, products: Mapping[str, Product], invoices: Iterable[Invoice]) -> Ids:
        """Create what is missing of a whole book's products, and of the customers of these invoices.

        Raises GatewayError when the gateway is away for longer than the client's patience.
        """
        ids = Ids()
        # Page by page: a book names most of a catalogue, and asking for each product by itself takes far longer.
        catalogue = {each["sku"]: each for each in self.gateway.every("/products", limit=100)}
        product = partial(self._ensure_product, catalogue)
        alike = {} if self.allow_lookalikes else alike_before(products)
        # Sent at the same time either of two may be first: the one that the book names first is.
        ids.refused_products |= {
            sku: f"{sku} looks like {other} (--allow-lookalikes sends it)"
            for sku, other in alike.items()
            if sku not in catalogue
        }
        wanted = {sku: each for sku, each in products.items() if sku not in ids.refused_products}
        self._all("products", product, wanted, ids.products, ids.refused_products)
        countries: dict[str, str] = {}
        for invoice in invoices:
            if not invoice.customer_id:
                countries.setdefault(invoice.customer, invoice.country)
        self._all("customers", self._ensure_customer, countries, ids.customers, ids.refused_customers)
        return ids

    def _all(
        self,
        label: str,
        ensure: Callable[[str, Any], str],
        wanted: Mapping[str, Any],
        found: dict[str, str],
        refused: dict[str, str],
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
            for into, name, text in each(one, wanted.items(), self.concurrency):
                into[name] = text
                advance(1)

    def _ensure_product(self, catalogue: Mapping[str, JSON], sku: str, product: Product) -> str:
        found = catalogue.get(sku) or self._create_product(product)
        if not self.begun:
            self._set_stock(product, found)
        return str(found["id"])

    def _create_product(self, product: Product) -> JSON:
        body = {
            "sku": product.sku,
            "name": product.name,
            "price": str(product.price),
            "stock_quantity": product.demand if self.stock is None else self.stock,
        }
        key = key_of("replay", self.run, "product", product.sku)
        try:
            return self._post_or_find("/products", body, key, "sku")
        except Refused as refusal:
            if refusal.code != "sku_lookalike" or not self.allow_lookalikes:
                raise
            say(f"warning: {refusal.detail}", err=True)
        key = key_of("replay", self.run, "lookalike", product.sku)
        return self._post_or_find("/products", {**body, "allow_lookalikes": True}, key, "sku")

    def _set_stock(self, product: Product, found: JSON) -> None:
        for left in reversed(range(TRIES)):
            has = int(found["stock_quantity"])
            wanted = max(has, product.demand) if self.stock is None else self.stock
            if wanted == has:
                return
            body = {"quantity": wanted - has, "reason": f"replay {self.run[:100]}: stock set to {wanted}"}
            try:
                key = key_of("replay", self.run, "stock", product.sku)
                self.gateway.post(f"/products/{found['id']}/stock", body, key=key)
                return
            except Refused as refusal:
                if refusal.code == "idempotency_key_reused":
                    return  # An earlier replay of this run, which did not get as far as its customers, has set it.
                if refusal.code != "insufficient_stock" or not left:
                    raise
                found = self.gateway.get(f"/products/{found['id']}").body

    def _ensure_customer(self, customer: str, country: str) -> str:
        body = {
            "name": f"Customer {customer}" if customer else "Guest",
            "email": email_of(self.run, customer),
            "address": country or "no address in the order book",
        }
        key = key_of("replay", self.run, "customer", customer)
        return str(self._post_or_find("/customers", body, key, "email")["id"])

    def _post_or_find(self, path: str, body: JSON, key: str, name: str) -> JSON:
        """Create something, or find what somebody has created before under the same ``name``. Raises GatewayError."""
        try:
            return cast(JSON, self.gateway.post(path, body, key=key).body)
        except Refused as refusal:
            if refusal.status != 409 and refusal.code != "idempotency_key_reused":
                raise
            there = self.gateway.get(path, **{name: body[name]}).body["items"]
            if not there:
                raise
            return cast(JSON, there[0])


def email_of(run: str, customer: str) -> str:
    """The address under which a customer of a run is found again; the empty customer is the guest."""
    who = f"customer-{_slug(customer)}" if customer else "guest"
    return f"{who}@{_slug(run)}.replay.example"


def _slug(text: str) -> str:
    """Text as part of an e-mail address; a digest keeps apart what would look the same."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
    if plain == text:
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}".strip("-")
