"""The messages that delivery accepts, and its answers.

A message is an order in a bundle; fields that are not listed here belong to other steps and are ignored. An answer is
merged over its order, and a field that is None is taken out of it.
"""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

Outcome = Literal["ok", "refused"]


class Order(Struct, frozen=True, kw_only=True):
    """What every order of a bundle has: which one it is, and how it has gone so far."""

    order_id: UUID
    outcome: Outcome = "ok"
    reason: str | None = None
    detail: str | None = None


class CreateDelivery(Order, frozen=True, kw_only=True):
    """Send this order to this address."""

    address: str


class CancelDelivery(Order, frozen=True, kw_only=True):
    """Keep this order's parcel here. ``no`` numbers the order's cancels from 1; a re-sent cancel keeps its number."""

    no: Annotated[int, Meta(ge=1)]


class UpdateDelivery(Order, frozen=True, kw_only=True):
    """An operator moves this order's delivery on, as it was at ``expected_version``."""

    to_status: Literal["IN_TRANSIT", "DELIVERED", "FAILED"]
    expected_version: int
    notes: str | None = None


class ReportStatus(Order, frozen=True, kw_only=True):
    """How does this order's delivery stand?"""


class Answer(Order, frozen=True, kw_only=True):
    """How it went, and how the delivery stands now; without the pair where the order has no delivery."""

    delivery_status: str | None = None
    delivery_version: int | None = None


class Dispatched(Answer, frozen=True, kw_only=True):
    """The answer to CreateDelivery: the address has arrived and travels no further."""

    address: None = None
