"""The messages that sales accepts, and what it answers to them. Fields that it does not know are ignored.

A message is about one order; ``kind`` and ``no`` say for which of the order's chains it speaks.
"""

from decimal import Decimal
from typing import Literal
from uuid import UUID

from msgspec import Struct

Outcome = Literal["ok", "refused"]


class CatalogueEntry(Struct, frozen=True):
    """A product as the catalogue has it; ``price`` is for one unit. The release before tells no SKU."""

    product_id: UUID
    name: str
    price: Decimal
    sku: str | None = None


class InventoryResponse(Struct, frozen=True, kw_only=True):
    """Can every line be filled, and at what price: the answer to an order's check.

    ``catalogue`` has every product of the order once; of a refused order those that there are, or none.
    """

    order_id: UUID
    correlation_id: str | None = None
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    catalogue: list[CatalogueEntry] = []


class Recorded(Struct, frozen=True, kw_only=True):
    """The order is priced and goes on, or its chain ends here. The catalogue is not carried further."""

    order_id: UUID
    ended: bool = False
    outcome: Outcome = "ok"
    reason: str | None = None
    catalogue: None = None


class StatusUpdate(Struct, frozen=True, kw_only=True):
    """How a chain ended, or what a delivery has become; ``delivery_version`` counts its changes of status.

    Of kind ``scan``: a courier has scanned the parcel though it is cancelled; ``no`` tells the scan from others. The
    release before does not know this kind: there such a message ends in the quarantine, and its order is flagged.
    """

    order_id: UUID
    kind: Literal["place", "cancel", "move", "report", "delivery", "scan"]
    no: int
    correlation_id: str | None = None
    outcome: Outcome = "ok"
    reason: str | None = None
    detail: str | None = None
    delivery_status: str | None = None
    delivery_version: int | None = None
    actor: str | None = None


class Updated(Struct, frozen=True, kw_only=True):
    """The order has followed; no link comes after this."""

    order_id: UUID
    ended: bool = True


class Fault(Struct, frozen=True, kw_only=True):
    """A message that could not be worked on, whole, and why. ``order_id`` is missing where it could not be read."""

    order_id: str | None = None
    correlation_id: str | None = None
    message_id: str
    queue: str
    task: str | None = None
    body: object
    headers: object
    reason: str
    count: int = 1


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that the broker could not deliver, as the quarantine keeps it; ``order_ids`` are those it speaks of.

    ``fingerprint`` tells what it holds from what another message holds that came under the same id.
    """

    message_id: str
    fingerprint: str
    order_ids: list[UUID]
    queue: str
    task: str | None
    body: object
    headers: object
    reason: str
    count: int


class FaultRecorded(Struct, frozen=True, kw_only=True):
    """The fault is on record."""

    order_id: str | None
    ended: bool = True
