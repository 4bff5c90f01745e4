"""Filling the shop: the products of a file that it does not have yet.

A sku that the shop has already is left as it is, so loading a catalogue twice changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conveyor.catalogue_file import NOTHING_SAID, Answers, Catalogue, CatalogueError, read_catalogue
from conveyor.client import JSON, Gateway, Refused, key_of
from conveyor.parallel import each, progress

__all__ = ["SAMPLE", "Answers", "CatalogueError", "Loaded", "has_its_own", "load", "read_catalogue", "send"]

#: The small catalogue that comes with Conveyor.
SAMPLE = Path(__file__).parent / "samples" / "catalogue.csv"


@dataclass(slots=True)
class Loaded:
    """What came of loading a catalogue: how many products were created, how many the shop had, and by line number the
    rows that were refused and those that look like another product and were allowed."""

    created: int = 0
    known: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    alike: dict[int, str] = field(default_factory=dict)


def load(gateway: Gateway, file: Path = SAMPLE, answers: Answers = NOTHING_SAID, *, concurrency: int = 4) -> Loaded:
    """Create the products of a catalogue file that the shop does not have yet.

    Raises Unreadable, CatalogueError and Uncertain before anything is sent; GatewayError where the gateway is away.
    """
    return send(gateway, read_catalogue(file, answers), answers.allow_lookalikes, concurrency=concurrency)


def send(gateway: Gateway, catalogue: Catalogue, allow_lookalikes: bool = False, *, concurrency: int = 4) -> Loaded:
    """Create these products where the shop does not have them. A row that is refused stops no other.

    Raises GatewayError where the gateway is away.
    """
    loaded = Loaded(refused=dict(catalogue.refused), alike=dict(catalogue.alike))
    create = partial(_create, gateway, loaded.alike, allow_lookalikes)
    with progress("products", len(catalogue.products)) as advance:
        for number, outcome in each(create, catalogue.products.items(), concurrency):
            if outcome == "created":
                loaded.created += 1
            elif outcome == "known":
                loaded.known += 1
            else:
                loaded.refused[number] = outcome
            advance(1)
    return loaded


def has_its_own(gateway: Gateway, products: Mapping[int, JSON]) -> bool:
    """Whether the shop has an order, or a product that is none of these: then it is somebody's. Raises GatewayError."""
    if next(gateway.every("/orders", limit=1), None) is not None:
        return True
    samples = {product["sku"] for product in products.values()}
    return any(product["sku"] not in samples for product in gateway.every("/products", limit=100))


def _create(
    gateway: Gateway, alike: dict[int, str], allow_lookalikes: bool, numbered: tuple[int, JSON]
) -> tuple[int, str]:
    """Create one product: its line number, and "created", "known", or why it was refused."""
    number, product = numbered
    key = key_of("catalogue", product["sku"])
    try:
        answer = gateway.post("/products", product, key=key)
    except Refused as refusal:
        if refusal.passing:
            raise
        if refusal.code == "sku_lookalike" and allow_lookalikes:
            alike.setdefault(number, refusal.detail)
            return _create(gateway, alike, False, (number, {**product, "allow_lookalikes": True}))
        known = refusal.code in ("sku_taken", "idempotency_key_reused")
        return number, "known" if known else str(refusal).replace("\n", " ")
    return number, "known" if answer.replayed else "created"
