"""What the delivery worker does: the twin of ``delivery/api.py``, with a queue for a door."""

from sqlalchemy.orm import Session

from delivery import service
from delivery.messages import Answer, CancelDelivery, CreateDelivery, ReportStatus, UpdateDelivery
from tasks.app import consuming
from tasks.step import step

app = consuming("delivery")


@step("delivery.create_delivery", CreateDelivery)
def create_delivery(session: Session, orders: list[CreateDelivery]) -> list[Answer]:
    """Send these orders to their addresses."""
    return service.create_delivery(session, orders)


@step("delivery.cancel_delivery", CancelDelivery)
def cancel_delivery(session: Session, orders: list[CancelDelivery]) -> list[Answer]:
    """Keep these orders' parcels here, if they have not left."""
    return service.cancel_delivery(session, orders)


@step("delivery.update_delivery", UpdateDelivery)
def update_delivery(session: Session, orders: list[UpdateDelivery]) -> list[Answer]:
    """An operator moves these deliveries on."""
    return service.update_delivery(session, orders)


@step("delivery.report_status", ReportStatus)
def report_status(session: Session, orders: list[ReportStatus]) -> list[Answer]:
    """How do these orders' deliveries stand?"""
    return service.report_status(session, orders)
