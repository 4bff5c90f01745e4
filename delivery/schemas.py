"""HTTP bodies: what delivery takes and what it shows."""

from datetime import UTC, datetime

from marshmallow import Schema, fields, validate

from chassis.fields import Body, Code, Count, Id, Moment, Text
from chassis.paging import LARGEST_PAGE
from delivery.queries import SHOWN_ENTRIES
from delivery.status import DeliveryStatus

DELIVERY_ID = "01920f3e-7f02-7c11-8d46-02a7b3c4d5e6"
#: No parcel here was scanned before: who says so has a clock that was never set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
OCCURRED_AT, EVENT_ID = "2026-03-02T19:38:00+01:00", "LX-4711-0302"
ENTRY = {
    "status": "IN_TRANSIT",
    "timestamp": "2026-03-02T18:40:12.004000+00:00",
    "occurred_at": "2026-03-02T18:38:00+00:00",
    "location": "Hub Lyon-Est",
    "notes": "handed to the night courier",
    "event_id": EVENT_ID,
}
_STATUS = {"enum": [str(each) for each in DeliveryStatus], "example": "IN_TRANSIT"}


class NewDelivery(Body):
    """Dispatch this order."""

    order_id = Id(required=True, metadata={"example": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"})
    address = Text(most=1000, required=True, metadata={"example": "12 rue de la Paix, 69002 Lyon"})


class Scan(Body):
    """A scan of a parcel: what it is, where, and when that happened."""

    status = fields.Enum(
        DeliveryStatus, required=True, by_value=True, metadata={"type": "string", "example": "IN_TRANSIT"}
    )
    location = Text(most=200, allow_none=True, load_default=None, metadata={"example": "Hub Lyon-Est"})
    notes = Text(most=1000, allow_none=True, load_default=None, metadata={"example": "handed to the night courier"})
    occurred_at = Moment(
        allow_none=True,
        load_default=None,
        validate=validate.Range(min=EARLIEST, error=f"Must not be before {EARLIEST:%Y}."),
        metadata={"example": OCCURRED_AT, "description": "when it happened; UTC where it has no offset"},
    )
    event_id = Code(
        most=200,
        allow_none=True,
        load_default=None,
        metadata={"example": EVENT_ID, "description": "the courier's own name for this scan, unique to its delivery"},
    )


class LogEntry(Schema):
    """What the delivery is or was scanned as, where and when. The first entry is its dispatch."""

    status = fields.String(required=True, metadata=_STATUS)
    timestamp = fields.DateTime(required=True, metadata={"description": "when it came and was written"})
    occurred_at = fields.DateTime(
        required=True,
        metadata={
            "description": "when it happened: as the courier says; or `timestamp` where nothing was said, or a time"
            " more than five minutes ahead"
        },
    )
    location = fields.String(required=True, allow_none=True)
    notes = fields.String(required=True, allow_none=True)
    event_id = fields.String(required=True, allow_none=True)


class DeliverySummary(Schema):
    """A delivery without its log. ``version`` counts changes of the status."""

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
    """A delivery and its log, in the order in which it was written. ``version`` counts changes of the status."""

    log = fields.List(
        fields.Nested(LogEntry),
        required=True,
        metadata={
            "description": f"the newest {SHOWN_ENTRIES} entries; `GET /deliveries/{{delivery_id}}/events` has all"
        },
    )


class ScannedDelivery(Delivery):
    """A delivery and its log after a scan, and the entry of the log that this scan is."""

    scan = fields.Nested(LogEntry, required=True)


class EventsQuery(Body):
    """Which page of a delivery's log."""

    limit = Count(least=1, most=LARGEST_PAGE, load_default=LARGEST_PAGE)
    cursor = Text(most=500, metadata={"description": "`next_cursor` of the page before"})


class Events(Schema):
    """A delivery's log in the order in which it was written, and where it goes on."""

    items = fields.List(fields.Nested(LogEntry), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "null on the last page"})


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
        {
            "status": "PENDING",
            "timestamp": "2026-03-02T09:15:00.121000+00:00",
            "occurred_at": "2026-03-02T09:15:00.121000+00:00",
            "location": None,
            "notes": None,
            "event_id": None,
        },
        ENTRY,
    ],
}
SUMMARY = {name: value for name, value in EXAMPLE.items() if name != "log"}
SCANNED_EXAMPLE = {**EXAMPLE, "scan": ENTRY}
