"""HTTP bodies: what delivery takes and what it shows."""

from marshmallow import Schema, fields, validate

from chassis.fields import Body, Count, Id, Moment, Text
from chassis.paging import LARGEST_PAGE
from delivery.queries import SHOWN_ENTRIES
from delivery.status import DeliveryStatus

DELIVERY_ID = "01920f3e-7f02-7c11-8d46-02a7b3c4d5e6"
_STATUS = {"enum": [str(each) for each in DeliveryStatus], "example": "IN_TRANSIT"}


class NewDelivery(Body):
    """Dispatch this order."""

    order_id = Id(required=True, metadata={"example": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"})
    address = Text(most=1000, required=True, metadata={"example": "12 rue de la Paix, 69002 Lyon"})


class Move(Body):
    """Where the parcel is now."""

    status = fields.Enum(
        DeliveryStatus, required=True, by_value=True, metadata={"type": "string", "example": "IN_TRANSIT"}
    )
    location = Text(most=200, allow_none=True, load_default=None, metadata={"example": "Hub Lyon-Est"})
    notes = Text(most=1000, allow_none=True, load_default=None, metadata={"example": "handed to the night courier"})


class LogEntry(Schema):
    """One move: what the delivery became, and where."""

    status = fields.String(required=True, metadata=_STATUS)
    timestamp = fields.DateTime(required=True)
    location = fields.String(required=True, allow_none=True)
    notes = fields.String(required=True, allow_none=True)


class DeliverySummary(Schema):
    """A delivery without its log. ``version`` counts moves."""

    id = fields.UUID(attribute="public_id", required=True, metadata={"example": DELIVERY_ID})
    order_id = fields.UUID(required=True, metadata={"example": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"})
    status = fields.String(required=True, metadata=_STATUS)
    address = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the order was cancelled before its dispatch"}
    )
    version = fields.Integer(required=True, metadata={"example": 2})
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)


class Delivery(DeliverySummary):
    """A delivery and its log, oldest entry first. ``version`` counts moves and is the ETag."""

    log = fields.List(
        fields.Nested(LogEntry),
        required=True,
        metadata={"description": f"the newest {SHOWN_ENTRIES} entries, oldest first"},
    )


class DeliveryPage(Schema):
    """Deliveries without their logs, and where the list goes on."""

    items = fields.List(fields.Nested(DeliverySummary), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "null on the last page"})


class DeliveryFilters(Body):
    """Which deliveries, in which order, and which page of them."""

    status = fields.String(validate=validate.OneOf([str(each) for each in DeliveryStatus]))
    created_after = Moment(metadata={"description": "inclusive; UTC where it has no offset"})
    created_before = Moment(metadata={"description": "exclusive; UTC where it has no offset"})
    sort = fields.String(load_default="-created_at", validate=validate.OneOf(["created_at", "-created_at"]))
    limit = Count(least=1, most=LARGEST_PAGE, load_default=50)
    cursor = Text(most=500, metadata={"description": "`next_cursor` of the page before"})


EXAMPLE = {
    "id": DELIVERY_ID,
    "order_id": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3",
    "status": "IN_TRANSIT",
    "address": "12 rue de la Paix, 69002 Lyon",
    "version": 2,
    "created_at": "2026-03-02T09:15:00.120000+00:00",
    "updated_at": "2026-03-02T18:40:12.004000+00:00",
    "log": [
        {"status": "PENDING", "timestamp": "2026-03-02T09:15:00.121000+00:00", "location": None, "notes": None},
        {
            "status": "IN_TRANSIT",
            "timestamp": "2026-03-02T18:40:12.004000+00:00",
            "location": "Hub Lyon-Est",
            "notes": "handed to the night courier",
        },
    ],
}
SUMMARY = {name: value for name, value in EXAMPLE.items() if name != "log"}
