"""What a request body may not say."""

from decimal import Decimal

import pytest
from marshmallow import ValidationError

from inventory import schemas

PRODUCT = {"sku": "LAMP-BLUE", "name": "Blue lamp", "price": "24.90"}


def test_a_product_needs_no_more_than_sku_name_and_price():
    product = schemas.NewProduct().load(PRODUCT)
    assert (product["stock_quantity"], product["status"], product["description"]) == (0, "active", "")
    assert product["price"] == Decimal("24.90")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", ""),
        ("sku", " LAMP"),
        ("sku", "LAMP\n"),
        ("sku", "x" * 65),
        ("sku", "L\x00"),
        ("name", "  "),
        ("name", None),
        ("price", "-0.01"),
        ("price", "1.001"),
        ("price", "NaN"),
        ("price", "10000000000"),
        ("stock_quantity", -1),
        ("stock_quantity", "4"),
        ("stock_quantity", 1_000_000_001),
        ("status", "sold"),
        ("id", "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"),
    ],
)
def test_a_new_product_is_refused_naming_the_field(field, value):
    with pytest.raises(ValidationError) as refused:
        schemas.NewProduct().load({**PRODUCT, field: value})
    assert list(refused.value.messages) == [field]


@pytest.mark.parametrize("field", ["sku", "stock_quantity", "id", "version", "created_at"])
def test_sku_stock_and_what_the_service_keeps_cannot_be_edited(field):
    with pytest.raises(ValidationError) as refused:
        schemas.ProductChanges().load({field: "1"})
    assert field in refused.value.messages


@pytest.mark.parametrize("changes", [{}, {"name": " "}])
def test_an_edit_that_says_nothing_is_refused(changes):
    with pytest.raises(ValidationError):
        schemas.ProductChanges().load(changes)


@pytest.mark.parametrize("quantity", [0, "3", 1.5, True, 1_000_000_001, -1_000_000_001])
def test_an_adjustment_is_a_whole_number_of_units_other_than_zero(quantity):
    with pytest.raises(ValidationError) as refused:
        schemas.StockAdjustment().load({"quantity": quantity, "reason": "counted"})
    assert list(refused.value.messages) == ["quantity"]


def test_an_adjustment_has_a_reason():
    with pytest.raises(ValidationError) as refused:
        schemas.StockAdjustment().load({"quantity": 1, "reason": ""})
    assert list(refused.value.messages) == ["reason"]


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        (schemas.Product, schemas.PRODUCT),
        (schemas.Movement, schemas.MOVEMENT),
        (schemas.AvailabilityAnswer, schemas.AVAILABILITY),
        (schemas.LineAnswer, schemas.AVAILABILITY["items"][0]),
    ],
)
def test_a_documented_example_has_the_fields_of_its_schema(schema, example):
    assert set(example) == set(schema().fields)
