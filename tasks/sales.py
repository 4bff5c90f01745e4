"""The tasks that sales' workers run: the twin of ``sales/api.py``, same service, other door."""

from sqlalchemy.orm import Session

from sales import faults, following, pricing
from sales.messages import Fault, FaultRecorded, InventoryResponse, Recorded, StatusUpdate, Updated
from tasks.app import consuming
from tasks.step import step

app = consuming("sales")


@step("sales.record_inventory_response", InventoryResponse)
def record_inventory_response(session: Session, orders: list[InventoryResponse]) -> list[Recorded]:
    """Fix prices and totals, or reject: the catalogue has answered."""
    return pricing.record_inventory_responses(session, orders)


@step("sales.update_order_status", StatusUpdate)
def update_order_status(session: Session, orders: list[StatusUpdate]) -> list[Updated]:
    """The orders follow their chain's end and their delivery."""
    return following.update_order_statuses(session, orders)


@step("sales.record_fault", Fault)
def record_fault(session: Session, orders: list[Fault]) -> list[FaultRecorded]:
    """Keep what could not be worked on where people can read it, and flag its order."""
    return faults.record_faults(session, orders)
