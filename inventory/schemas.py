"""HTTP bodies and queries: what inventory takes and what it shows."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from chassis.fields import Body, Code, Count, Flag, Id, Money, Several, Text, Typed, WholeNumber
from chassis.paging import LARGEST_PAGE
from chassis.refusing import current_settings
from inventory.messages import Line
from inventory.queries import SORTS
from inventory.status import MovementType, ProductStatus

#: Most units that one request may add or take away.
LARGEST_ADJUSTMENT = 1_000_000_000

_ID = {"example": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"}
_CURSOR = {"description": "`next_cursor` of the page before; go on with the same filters and the same sort"}
_STATUS = {"example": "active", "enum": [str(each) for each in ProductStatus]}
_SKU = (
    "kept in Unicode's normal form NFC, in which its length is counted; no character that cannot be seen, and no blank"
    " but U+0020, which neither begins nor ends it"
)
_REASONS = ["unknown_product", "product_inactive", "insufficient_stock"]


def _name(**options: Any) -> Text:
    return Text(most=200, metadata={"example": "Blue lamp"}, **options)


def _description(**options: Any) -> Text:
    return Text(least=0, most=10_000, metadata={"example": "Steel, 40 cm"}, **options)


def _price(**options: Any) -> Money:
    return Money(metadata={"example": "24.90", "description": "of one unit"}, **options)


class NewProduct(Body):
    """A product as it joins the catalogue."""

    sku = Code(most=64, required=True, metadata={"example": "LAMP-BLUE", "description": _SKU})
    name = _name(required=True)
    description = _description(load_default="")
    price = _price(required=True)
    stock_quantity = WholeNumber(
        least=0,
        most=LARGEST_ADJUSTMENT,
        load_default=0,
        metadata={"example": 40, "description": "opening stock; booked as an `adjust` movement"},
    )
    status = fields.Enum(ProductStatus, by_value=True, load_default=ProductStatus.ACTIVE, metadata=_STATUS)
    allow_lookalikes = Flag(
        load_default=False,
        metadata={"description": "take a `sku` that differs from another product's only in case, width or alphabet"},
    )


class ProductChanges(Body):
    """What of a product is to change; what is not named stays."""

    name = _name(required=False)
    description = _description()
    price = _price()
    status = fields.Enum(ProductStatus, by_value=True, metadata=_STATUS)

    @validates_schema
    def _changes_something(self, changes: dict[str, Any], **_options: Any) -> None:
        if not changes:
            raise ValidationError("Name at least one of name, description, price and status.")
        if "name" in changes and not changes["name"].strip():
            raise ValidationError("Must not be blank.", "name")


class StockAdjustment(Body):
    """Units that a person counted, received or wrote off."""

    quantity = WholeNumber(
        least=-LARGEST_ADJUSTMENT,
        most=LARGEST_ADJUSTMENT,
        required=True,
        validate=[validate.NoneOf([0], error="Must not be zero.")],
        metadata={
            "example": -3,
            "description": "signed, not zero: what is added to the stock",
            "not": {"const": 0},
        },
    )
    reason = Text(most=500, required=True, metadata={"example": "three broken in the warehouse"})


class WantedLine(Body):
    """So many units of one product."""

    product_id = Id(required=True, metadata=_ID)
    quantity = WholeNumber(least=1, most="max_line_quantity", required=True, metadata={"example": 2})

    @post_load
    def _line(self, line: dict[str, Any], **_options: Any) -> Line:
        return Line(**line)


class AvailabilityQuestion(Body):
    """Lines that somebody thinks of ordering."""

    items = Several(fields.Nested(WantedLine), most="max_order_lines", required=True)


class PageQuery(Body):
    """Where in a list to go on, and how far."""

    limit = Count(least=1, most=LARGEST_PAGE, load_default=50, metadata={"description": "most rows of the page"})
    cursor = Text(most=1_000, load_default=None, metadata=_CURSOR)


class ProductQuery(PageQuery):
    """Which products, and in what order."""

    status = fields.String(validate=validate.OneOf([str(each) for each in ProductStatus]), metadata=_STATUS)
    sku = Typed(most=64, metadata={"description": "exactly this SKU", "example": "LAMP-BLUE"})
    q = Typed(most=200, metadata={"description": "contained in the name or the SKU, in either case", "example": "lamp"})
    sort = fields.String(
        load_default="-created_at",
        validate=validate.OneOf([sign + name for name in SORTS for sign in ("", "-")]),
        metadata={"description": "`-` sorts the other way round", "example": "name"},
    )


class Product(Schema):
    """A product as the catalogue and the stock have it now. ``version`` counts edits, not stock movements."""

    id = fields.UUID(required=True, metadata=_ID)
    sku = fields.String(required=True, metadata={"example": "LAMP-BLUE"})
    name = fields.String(required=True, metadata={"example": "Blue lamp"})
    description = fields.String(required=True, metadata={"example": "Steel, 40 cm"})
    price = Money(required=True, metadata={"example": "24.90"})
    currency = fields.Function(lambda _product: current_settings().currency, metadata={"type": "string"})
    stock_quantity = fields.Integer(required=True, metadata={"example": 37})
    status = fields.String(required=True, metadata=_STATUS)
    version = fields.Integer(required=True, metadata={"example": 1})
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True, metadata={"description": "of the last edit or stock movement"})


class Movement(Schema):
    """One entry of a product's ledger; entries are never changed."""

    id = fields.UUID(required=True, metadata=_ID)
    product_id = fields.UUID(required=True, metadata=_ID)
    order_id = fields.UUID(required=True, allow_none=True, metadata={"description": "null for an `adjust`", **_ID})
    movement_type = fields.String(
        required=True, metadata={"example": "adjust", "enum": [str(each) for each in MovementType]}
    )
    quantity = fields.Integer(required=True, metadata={"example": -3, "description": "negative: left the stock"})
    reason = fields.String(required=True, metadata={"example": "three broken in the warehouse"})
    created_at = fields.DateTime(required=True)


class StockChanged(Schema):
    """The entry that was booked, and the stock that the product has now."""

    movement = fields.Nested(Movement, required=True)
    stock_quantity = fields.Integer(required=True, metadata={"example": 37})


class ProductPage(Schema):
    """A page of products; without a ``next_cursor`` it is the last one."""

    items = fields.List(fields.Nested(Product), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class MovementPage(Schema):
    """A page of a ledger, newest entry first; without a ``next_cursor`` it is the last one."""

    items = fields.List(fields.Nested(Movement), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class LineAnswer(Schema):
    """Could this line be ordered now? Lines of one product are judged by what they want together."""

    product_id = fields.UUID(required=True, metadata=_ID)
    quantity = fields.Integer(required=True, metadata={"example": 2})
    available = fields.Boolean(required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"enum": [*_REASONS, None]})
    detail = fields.String(required=True, allow_none=True, metadata={"description": "the reason for people"})
    stock_quantity = fields.Integer(required=True, allow_none=True, metadata={"description": "null: no such product"})
    price = Money(required=True, allow_none=True, metadata={"example": "24.90"})


class AvailabilityAnswer(Schema):
    """Could all of these lines be ordered now? A look, not a promise: nothing is kept aside."""

    available = fields.Boolean(required=True, metadata={"description": "every line is"})
    currency = fields.Function(lambda _answer: current_settings().currency, metadata={"type": "string"})
    items = fields.List(fields.Nested(LineAnswer), required=True)


PRODUCT = {
    "id": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3",
    "sku": "LAMP-BLUE",
    "name": "Blue lamp",
    "description": "Steel, 40 cm",
    "price": "24.90",
    "currency": "EUR",
    "stock_quantity": 40,
    "status": "active",
    "version": 1,
    "created_at": "2026-03-02T09:15:00.120000+00:00",
    "updated_at": "2026-03-02T09:15:00.120000+00:00",
}
MOVEMENT = {
    "id": "01920f41-0a3e-7c11-8f5e-2b6d9e0c4a77",
    "product_id": PRODUCT["id"],
    "order_id": None,
    "movement_type": "adjust",
    "quantity": -3,
    "reason": "three broken in the warehouse",
    "created_at": "2026-03-02T18:40:12.004000+00:00",
}
AVAILABILITY = {
    "available": False,
    "currency": "EUR",
    "items": [
        {
            "product_id": PRODUCT["id"],
            "quantity": 41,
            "available": False,
            "reason": "insufficient_stock",
            "detail": "Blue lamp (LAMP-BLUE): 41 wanted, 40 in stock.",
            "stock_quantity": 40,
            "price": "24.90",
        }
    ],
}
