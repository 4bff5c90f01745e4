"""What inventory accepts from its queues, and what it answers. Fields that it does not know are ignored."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

Outcome = Literal["ok", "refused"]


class Line(Struct, frozen=True):
    """So many units of one product. Several lines of an order may name the same product."""

    product_id: UUID
    quantity: Annotated[int, Meta(ge=1)]


Lines = Annotated[list[Line], Meta(min_length=1)]


class CheckAvailability(Struct, frozen=True):
    """Can these lines be filled right now, and at what price?"""

    order_id: UUID
    lines: Lines


class CatalogueEntry(Struct, frozen=True):
    """A product as the catalogue has it at this moment; ``price`` is for one unit."""

    product_id: UUID
    sku: str
    name: str
    price: Decimal


class Availability(Struct, frozen=True):
    """The answer: ``catalogue`` has every product of the order once; of a refused order those that there are."""

    order_id: UUID
    outcome: Outcome = "ok"
    reason: str | None = None
    detail: str | None = None
    catalogue: list[CatalogueEntry] | None = None


class ReserveStock(Struct, frozen=True):
    """Take the stock for all of these lines, or for none of them."""

    order_id: UUID
    lines: Lines
    outcome: Outcome = "ok"
    reason: str | None = None
    detail: str | None = None


class Reserved(Struct, frozen=True):
    """The decision about an order's stock. The lines end here: no later link reads them."""

    order_id: UUID
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    lines: None = None


class ReleaseStock(Struct, frozen=True):
    """Give back whatever this order holds. An outcome of refused means that it keeps its stock."""

    order_id: UUID
    outcome: Outcome = "ok"


class Released(Struct, frozen=True):
    """The order holds nothing any more; or, passed on, its cancellation was refused before."""

    order_id: UUID
    outcome: Outcome
