"""HTTP bodies and queries: what sales takes and what it shows."""

from marshmallow import Schema, fields, validate

from chassis.fields import Body, Count, Id, Mail, Moment, Money, Several, Text, WholeNumber
from chassis.paging import LARGEST_PAGE
from sales.attention import Cause
from sales.queries import LISTED_LINES
from sales.status import OrderStatus
from sales.timeline import Kind

STATUSES = [each.value for each in OrderStatus]

CUSTOMER = {
    "id": "0192f0bf-2d11-7b0c-8a55-3c1f9a7e6d02",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+33 1 23 45 67 89",
    "address": "12 Rue de la Paix, 75002 Paris",
    "created_at": "2026-11-22T09:58:14.200000+00:00",
}
ITEM = {
    "product_id": "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10",
    "sku": "LAMP-READ",
    "product_name": "Reading lamp",
    "quantity": 2,
    "price": "12.50",
}
ORDER = {
    "id": "0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4",
    "customer_id": CUSTOMER["id"],
    "status": "Pending Shipment",
    "reason": None,
    "reason_detail": None,
    "total_amount": "25.00",
    "currency": "EUR",
    "delivery_address": CUSTOMER["address"],
    "delivery_status": "PENDING",
    "needs_attention": False,
    "attention_reason": None,
    "attention": None,
    "version": 3,
    "created_at": "2026-11-22T10:00:00.120000+00:00",
    "updated_at": "2026-11-22T10:00:00.251000+00:00",
    "items_count": 1,
    "items": [ITEM],
}
#: The same order as it is answered, before the catalogue has named its prices.
PLACED = {
    **ORDER,
    "status": "Pending",
    "total_amount": None,
    "delivery_status": None,
    "version": 1,
    "updated_at": ORDER["created_at"],
    "items": [{**ITEM, "sku": None, "product_name": None, "price": None}],
}
CANCELLING = {
    **ORDER,
    "status": "Cancelling",
    "reason": "cancelled_by_request",
    "reason_detail": "The customer cancelled it: changed my mind",
    "version": 4,
}
CANCELLED = {**CANCELLING, "status": "Cancelled", "delivery_status": "CANCELLED", "version": 5}
EVENT = {
    "at": "2026-11-22T10:00:00.251000+00:00",
    "kind": "delivery",
    "number": 1,
    "from_status": "Pending",
    "to_status": "Pending Shipment",
    "actor": "delivery",
    "code": None,
    "reason": None,
    "correlation_id": "01920f3e7d4c7bb2a3c5d8e9f0a1b2c3",
}

_CURSOR = {"description": "`next_cursor` of the page before; go on with the same filters and the same sort"}
_NEXT_CURSOR = {"description": "null on the last page"}
_STATUS = {"enum": STATUSES}


class CustomerIn(Body):
    """A new customer."""

    name = Text(most=200, required=True, metadata={"example": CUSTOMER["name"]})
    email = Mail(required=True, metadata={"example": CUSTOMER["email"]})
    phone = Text(most=50, allow_none=True, metadata={"example": CUSTOMER["phone"]})
    address = Text(most=1_000, required=True, metadata={"example": CUSTOMER["address"]})


class CustomerOut(Schema):
    """A customer."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    phone = fields.String(required=True, allow_none=True)
    address = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class ItemIn(Body):
    """One line of a new order. The price is the one that the customer saw, never the one that is charged."""

    product_id = Id(required=True, metadata={"example": ITEM["product_id"]})
    quantity = WholeNumber(least=1, most="max_line_quantity", required=True, metadata={"example": ITEM["quantity"]})
    price = Money(
        allow_none=True,
        metadata={"example": ITEM["price"], "description": "if the catalogue says otherwise the order is Rejected"},
    )


class OrderIn(Body):
    """A new order. The address is the customer's where none is given."""

    customer_id = Id(required=True, metadata={"example": CUSTOMER["id"]})
    items = Several(fields.Nested(ItemIn), most="max_order_lines", required=True)
    delivery_address = Text(most=1_000, allow_none=True, metadata={"example": CUSTOMER["address"]})


class ItemOut(Schema):
    """One line of an order."""

    product_id = fields.UUID(required=True)
    sku = fields.String(
        required=True, allow_none=True, metadata={"description": "null until the catalogue was asked, or not in it"}
    )
    product_name = fields.String(required=True, allow_none=True, metadata={"description": "null as `sku` is"})
    quantity = fields.Integer(required=True)
    price = Money(
        required=True,
        allow_none=True,
        metadata={"description": "of one unit: the catalogue's; until the order is priced the one the customer saw"},
    )


class AttentionOut(Schema):
    """Why an order needs somebody's attention."""

    code = fields.String(required=True, metadata={"enum": [each.value for each in Cause]})
    detail = fields.String(required=True, metadata={"description": "a sentence for people"})
    since = fields.AwareDateTime(required=True, allow_none=True)
    next = fields.String(required=True, metadata={"description": "the command with which an operator goes on"})


class OrderOut(Schema):
    """An order. ``version`` counts its changes and is the ETag."""

    id = fields.UUID(required=True)
    customer_id = fields.UUID(required=True)
    status = fields.String(required=True, metadata=_STATUS)
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "a code, for an order that was rejected or cancelled"},
    )
    reason_detail = fields.String(
        required=True, allow_none=True, metadata={"description": "the same as a sentence for people"}
    )
    total_amount = Money(required=True, allow_none=True, metadata={"description": "null until priced"})
    currency = fields.String(required=True)
    delivery_address = fields.String(required=True)
    delivery_status = fields.String(
        required=True, allow_none=True, metadata={"description": "the newest that delivery has told; null before that"}
    )
    needs_attention = fields.Boolean(required=True, metadata={"description": "it is stuck, and somebody has to look"})
    attention_reason = fields.String(
        required=True, allow_none=True, metadata={"description": "the sentence of `attention`"}
    )
    attention = fields.Nested(
        AttentionOut, required=True, allow_none=True, metadata={"description": "null where it needs no attention"}
    )
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)
    items_count = fields.Function(
        lambda order: order.get("items_count", len(order["items"])),
        metadata={"type": "integer", "example": 1, "description": "how many lines it has"},
    )
    items = fields.List(
        fields.Nested(ItemOut),
        required=True,
        metadata={"description": f"all of them; in a list of orders the first {LISTED_LINES}"},
    )


class OrderPage(Schema):
    """Orders, and where the list goes on."""

    items = fields.List(fields.Nested(OrderOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata=_NEXT_CURSOR)


class CustomerPage(Schema):
    """Customers, newest first, and where the list goes on."""

    items = fields.List(fields.Nested(CustomerOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata=_NEXT_CURSOR)


class PageQuery(Body):
    """Which page of a list."""

    limit = Count(least=1, most=LARGEST_PAGE, load_default=50)
    cursor = Text(most=500, metadata=_CURSOR)


class OrderFilters(PageQuery):
    """Which orders, and in which order."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    customer_id = Id()
    needs_attention = fields.Boolean()
    created_after = Moment(metadata={"description": "inclusive; UTC where it has no offset"})
    created_before = Moment(metadata={"description": "exclusive; UTC where it has no offset"})
    sort = fields.String(load_default="-created_at", validate=validate.OneOf(["created_at", "-created_at"]))


class CustomerFilters(PageQuery):
    """Which customers."""

    email = Text(most=320, metadata={"description": "in any spelling of its case"})


class StatusIn(Body):
    """What an order is to become."""

    status = fields.String(
        required=True,
        validate=validate.OneOf(STATUSES),
        metadata={"example": "In Transit", "description": "Cancelled, In Transit, Delivered or Delivery Failed"},
    )


class EventsQuery(PageQuery):
    """Which page of a timeline: nearly all have one."""

    limit = Count(least=1, most=LARGEST_PAGE, load_default=LARGEST_PAGE)


class CancelIn(Body):
    """Why an order is cancelled."""

    reason = Text(most=200, allow_none=True, metadata={"example": "changed my mind"})


class EventOut(Schema):
    """One entry of an order's timeline."""

    at = fields.AwareDateTime(required=True)
    kind = fields.String(required=True, metadata={"enum": [each.value for each in Kind]})
    number = fields.Integer(required=True, metadata={"description": "with the kind, tells the order's events apart"})
    from_status = fields.String(required=True, allow_none=True)
    to_status = fields.String(required=True, allow_none=True)
    actor = fields.String(required=True)
    code = fields.String(
        required=True, allow_none=True, metadata={"description": "why, for programs; null where there is no choice"}
    )
    reason = fields.String(required=True, allow_none=True, metadata={"description": "a sentence for people"})
    correlation_id = fields.String(required=True, allow_none=True)


class Timeline(Schema):
    """What has happened to an order, oldest first, and where the list goes on."""

    items = fields.List(fields.Nested(EventOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata=_NEXT_CURSOR)
