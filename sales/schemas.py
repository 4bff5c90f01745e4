"""The bodies that sales' HTTP door takes and gives."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates

from chassis.fields import Body, Money, Text, WholeNumber
from chassis.paging import LARGEST_PAGE
from chassis.settings import settings
from sales.status import OrderStatus

STATUSES = [each.value for each in OrderStatus]
AN_ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"


class CustomerIn(Body):
    """A new customer."""

    name = Text(most=200, required=True, metadata={"example": "Ada Lovelace"})
    email = Text(most=320, required=True, validate=validate.Email(), metadata={"example": "ada@example.com"})
    phone = Text(most=50, metadata={"example": "+33 1 23 45 67 89"})
    address = Text(most=1_000, required=True, metadata={"example": "12 Rue de la Paix, 75002 Paris"})


class CustomerOut(Schema):
    """A customer."""

    id = fields.UUID(metadata={"example": AN_ID})
    name = fields.String(metadata={"example": "Ada Lovelace"})
    email = fields.String(metadata={"example": "ada@example.com"})
    phone = fields.String(allow_none=True)
    address = fields.String(metadata={"example": "12 Rue de la Paix, 75002 Paris"})
    created_at = fields.AwareDateTime(metadata={"example": "2026-11-22T10:00:00+00:00"})


class ItemIn(Body):
    """One line of a new order. The price is the one that the customer saw, never the one that is charged."""

    product_id = fields.UUID(required=True, metadata={"example": AN_ID})
    quantity = WholeNumber(least=1, required=True, metadata={"example": 2})
    price = Money(metadata={"example": "12.50", "description": "another catalogue price rejects the order"})

    @validates("quantity")
    def _check_quantity(self, quantity: int, **_: Any) -> None:
        most = settings().max_line_quantity
        if quantity > most:
            raise ValidationError(f"Must be at most {most}.")


class OrderIn(Body):
    """A new order. The address is the customer's where none is given."""

    customer_id = fields.UUID(required=True, metadata={"example": AN_ID})
    items = fields.List(fields.Nested(ItemIn), required=True, validate=validate.Length(min=1))
    delivery_address = Text(most=1_000, metadata={"example": "12 Rue de la Paix, 75002 Paris"})

    @validates("items")
    def _check_length(self, items: list[Any], **_: Any) -> None:
        most = settings().max_order_lines
        if len(items) > most:
            raise ValidationError(f"Must be at most {most} lines.")


class ItemOut(Schema):
    """One line of an order; name and price as the catalogue had them."""

    product_id = fields.UUID(metadata={"example": AN_ID})
    product_name = fields.String(allow_none=True, metadata={"example": "Reading lamp"})
    quantity = fields.Integer(metadata={"example": 2})
    price = Money(allow_none=True, metadata={"example": "12.50"})


class OrderOut(Schema):
    """An order."""

    id = fields.UUID(metadata={"example": AN_ID})
    customer_id = fields.UUID(metadata={"example": AN_ID})
    status = fields.String(validate=validate.OneOf(STATUSES), metadata={"example": "Pending"})
    reason = fields.String(allow_none=True, metadata={"description": "a code; null where all is well"})
    total_amount = Money(allow_none=True, metadata={"example": "25.00", "description": "null until priced"})
    currency = fields.String(metadata={"example": "EUR"})
    delivery_address = fields.String()
    delivery_status = fields.String(allow_none=True)
    needs_attention = fields.Boolean()
    version = fields.Integer(metadata={"description": "counts changes; also the ETag"})
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()
    items = fields.List(fields.Nested(ItemOut))


class OrderList(Schema):
    """A page of orders."""

    items = fields.List(fields.Nested(OrderOut))
    next_cursor = fields.String(allow_none=True, metadata={"description": "null on the last page"})


class CustomerList(Schema):
    """A page of customers."""

    items = fields.List(fields.Nested(CustomerOut))
    next_cursor = fields.String(allow_none=True)


class _Page(Body):
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=LARGEST_PAGE))
    cursor = Text(most=500)


class OrderFilters(_Page):
    """Which orders, in which order."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    customer_id = fields.UUID()
    needs_attention = fields.Boolean()
    created_after = fields.AwareDateTime(metadata={"description": "inclusive; with an offset or Z"})
    created_before = fields.AwareDateTime(metadata={"description": "exclusive; with an offset or Z"})
    sort = fields.String(load_default="-created_at", validate=validate.OneOf(["created_at", "-created_at"]))


class CustomerFilters(_Page):
    """Which customers."""

    email = Text(most=320)


class StatusIn(Body):
    """What an order is to become."""

    status = fields.String(required=True, validate=validate.OneOf(STATUSES), metadata={"example": "In Transit"})


class CancelIn(Body):
    """Why an order is cancelled."""

    reason = Text(most=200, metadata={"example": "changed my mind"})


class EventOut(Schema):
    """One entry of an order's timeline."""

    at = fields.AwareDateTime()
    kind = fields.String(metadata={"example": "delivery"})
    number = fields.Integer()
    from_status = fields.String(allow_none=True, metadata={"example": "Pending"})
    to_status = fields.String(allow_none=True, metadata={"example": "Pending Shipment"})
    actor = fields.String(metadata={"example": "delivery"})
    reason = fields.String(allow_none=True)
    correlation_id = fields.String(allow_none=True)


class EventList(Schema):
    """An order's timeline, oldest first."""

    items = fields.List(fields.Nested(EventOut))
    next_cursor = fields.String(allow_none=True)
