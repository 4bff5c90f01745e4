"""Filling the shop: products from a CSV with the columns sku, name, description, price, stock.

A sku that the shop has already is left as it is, so loading a catalogue twice changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chassis.errors import ConveyorError
from conveyor.client import JSON, Gateway, Refused, key_of
from conveyor.parallel import each, progress
from conveyor.replay.line import amount
from conveyor.replay.source import bytes_of
from conveyor.replay.table import Row, decode, rows

#: The small catalogue that comes with Conveyor.
SAMPLE = Path(__file__).parent / "samples" / "catalogue.csv"
NEEDED = ("sku", "name", "price")


class CatalogueError(ConveyorError):
    """The file is no catalogue."""


@dataclass(slots=True)
class Loaded:
    """What came of loading a catalogue: how many products were created, how many the shop had, and the rows that
    were refused, by line number."""

    created: int = 0
    known: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def load(gateway: Gateway, file: Path = SAMPLE, *, concurrency: int = 4) -> Loaded:
    """Create the products of a catalogue file that the shop does not have yet.

    A row that cannot be a product stops no other. Raises Unreadable; CatalogueError where a column is missing;
    GatewayError where the gateway is away.
    """
    raw = bytes_of(file)
    try:
        products, loaded = read_catalogue(raw)
    except CatalogueError as error:
        raise CatalogueError(f"{file} is {error}") from None
    with progress("products", len(products)) as advance:
        for number, outcome in each(partial(_create, gateway), products.items(), concurrency):
            if outcome == "created":
                loaded.created += 1
            elif outcome == "known":
                loaded.known += 1
            else:
                loaded.refused[number] = outcome
            advance(1)
    return loaded


def has_its_own(gateway: Gateway, file: Path) -> bool:
    """Whether the shop has an order, or a product that is not in this catalogue file: then it is somebody's.

    Raises as ``load`` does.
    """
    if next(gateway.every("/orders", limit=1), None) is not None:
        return True
    samples = {product["sku"] for product in read_catalogue(bytes_of(file))[0].values()}
    return any(product["sku"] not in samples for product in gateway.every("/products", limit=100))


def read_catalogue(raw: bytes) -> tuple[dict[int, JSON], Loaded]:
    """The products in these bytes as bodies of requests, by line number, and the rows that cannot be products.

    Raises CatalogueError where a column is missing.
    """
    text, _ = decode(raw)
    records = rows(text)
    header = [title.strip().lower() for title in next(records, Row(1, "", ())).fields]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        plural = "s" * (len(missing) > 1)
        raise CatalogueError(f"no catalogue: its first line does not name the column{plural} {', '.join(missing)}")
    products: dict[int, JSON] = {}
    loaded = Loaded()
    for row in records:
        if len(row.fields) != len(header):
            loaded.refused[row.number] = f"{len(row.fields)} columns where the header has {len(header)}"
            continue
        try:
            products[row.number] = _product(dict(zip(header, map(str.strip, row.fields), strict=True)))
        except ValueError as error:
            loaded.refused[row.number] = str(error)
    return products, loaded


def _product(cells: Mapping[str, str]) -> JSON:
    """One product as the gateway takes it; what is against a rule of the shop, the gateway says."""
    price = amount(cells["price"])
    stock = amount(cells.get("stock") or "0")
    if price is None:
        raise ValueError(f"the price is no number: {cells['price']!r}")
    if stock is None or stock != stock.to_integral_value():
        raise ValueError(f"the stock is no whole number: {cells['stock']!r}")
    body: JSON = {"sku": cells["sku"], "name": cells["name"], "price": str(price), "stock_quantity": int(stock)}
    if cells.get("description"):
        body["description"] = cells["description"]
    return body


def _create(gateway: Gateway, numbered: tuple[int, JSON]) -> tuple[int, str]:
    """Create one product: its line number, and "created", "known", or why it was refused."""
    number, product = numbered
    try:
        answer = gateway.post("/products", product, key=key_of("catalogue", product["sku"]))
    except Refused as refusal:
        if refusal.passing:
            raise
        known = refusal.code in ("sku_taken", "idempotency_key_reused")
        return number, "known" if known else str(refusal).replace("\n", " ")
    return number, "known" if answer.replayed else "created"
