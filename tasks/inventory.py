"""What inventory does for orders: inventory_check_queue, stock_reservation_queue, stock_release_queue."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from inventory import service
from inventory.messages import (
    Availability,
    CheckAvailability,
    Released,
    ReleaseStock,
    Reserved,
    ReserveStock,
)
from tasks.app import consuming
from tasks.step import step

app = consuming("inventory")


@step("inventory.check_availability", CheckAvailability)
def check_availability(session: Session, orders: Sequence[CheckAvailability]) -> list[Availability]:
    """Can every line of these orders be filled right now, and at what price?"""
    return service.check_availability(session, orders)


@step("inventory.reserve_stock", ReserveStock)
def reserve_stock(session: Session, orders: Sequence[ReserveStock]) -> list[Reserved]:
    """Take the stock for all lines of each order or for none; decided once per order."""
    return service.reserve_stock(session, orders)


@step("inventory.release_stock", ReleaseStock)
def release_stock(session: Session, orders: Sequence[ReleaseStock]) -> list[Released]:
    """Give back, once, what each order holds."""
    return service.release_stock(session, orders)
