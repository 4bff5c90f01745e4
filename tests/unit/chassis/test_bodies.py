"""A body that cannot be a valid one is refused for what it costs to count, and all others as a whole."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from marshmallow import fields

from chassis import bodies
from chassis.bodies import read_body
from chassis.errors import Invalid, Malformed
from chassis.fields import Body, Money, Several, Text, WholeNumber
from chassis.settings import Settings

MEGABYTE = 1_000_000


class Line(Body):
    """An element of a list."""

    sku = Text(most=20, required=True)
    quantity = WholeNumber(required=True)
    price = Money()


class Form(Body):
    """A body with a list whose limit is a setting."""

    name = Text(most=300, required=True)
    items = Several(fields.Nested(Line), most="max_order_lines", required=True)


LINE = '{"sku":"LAMP","quantity":2}'


@pytest.fixture
def schema() -> Iterator[Form]:
    app = Flask("test")
    app.extensions["settings"] = Settings(max_order_lines=1_000)
    with app.app_context():
        yield Form()


def filled(element: str, size: int = MEGABYTE) -> str:
    return '{"name":"Ada","items":[' + ",".join([element] * (size // (len(element) + 1))) + "]}"


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        (filled("1"), "items.0", "Expected object, got int."),
        (filled("{}"), "items.0.sku", "Missing data for required field."),
        (filled('"x"'), "items.0", "Expected object, got str."),
        (filled("[[[]]]"), "items.0", "Expected object, got array."),
        (filled(LINE), "items", "Must be at most 1000 lines."),
        (filled(LINE[:-1] + ',"more":1}'), "items.0.more", "Unknown field."),
        ('{"name":[' + "1," * 500_000 + "1]}", "name", "Expected bool | int | float | str | null, got array."),
        ("{" + ",".join(f'"{each}":1' for each in range(90_000)) + "}", "0", "Unknown field."),
        ("[" * MEGABYTE, "body", "Expected object, got array."),
        ('{"name":"Ada","items":[{"sku":' + "[" * MEGABYTE, "items.0.sku", None),
        ('{"name":"' + "k" * 9 + '","' + "," * MEGABYTE + '":1}', "," * 64, "Unknown field."),
    ],
)
def test_a_megabyte_of_what_is_out_of_place_is_refused_at_once_by_name(
    schema: Form, body: str, field: str, rule: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_read", lambda _body: pytest.fail("values were made of it"))
    bodies._shape_of(schema)  # made once for a route, not for a request
    took = []
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(Invalid) as refused:
            read_body(body.encode(), schema)
        took.append(time.process_time() - began)
    assert min(took) < 0.05
    assert refused.value.errors[0]["field"] == field
    assert rule in (None, refused.value.errors[0]["message"])


def test_the_largest_body_that_is_valid_is_read(schema: Form) -> None:
    line = {"sku": "," * 20, "quantity": 2, "price": "1.50"}
    largest = {"name": "{" * 300, "items": [line] * 1_000}
    assert read_body(json.dumps(largest).encode(), schema) == largest


def test_texts_full_of_commas_are_told_that_they_are_too_long(schema: Form) -> None:
    body = {"name": "," * MEGABYTE, "items": [{"sku": "A", "quantity": 1}]}
    assert read_body(json.dumps(body).encode(), schema) == body


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' {"name" : "Ada"}\n', {"name": "Ada"}),
        (b'{"name": 1, "name": 2}', {"name": 2}),
        (b'{"name": "\\ud83d\\ude00"}', {"name": "\U0001f600"}),
        (b'{"name": "\\ud800"}', {"name": "\ud800"}),
        (b'{"name": 123456789012345678901234567890}', {"name": 123456789012345678901234567890}),
    ],
)
def test_a_small_body_is_read_whole(schema: Form, body: bytes, value: Any) -> None:
    assert read_body(body, schema) == value


def test_a_number_with_a_fraction_is_what_is_written(schema: Form) -> None:
    assert str(read_body(b'{"name": 12.500000000000000001}', schema)["name"]) == "12.500000000000000001"


@pytest.mark.parametrize("number", ["1e2", "1E-999999", "1e999999", "-1.5e3", "1." + "1" * 40])
def test_a_number_with_an_exponent_is_none(schema: Form, number: str) -> None:
    value = read_body(b'{"name": "x", "items": [{"price": %s}]}' % number.encode(), schema)
    errors = Form().validate(value)["items"][0]
    assert "price" in errors


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"{", "Not JSON: Expecting property name enclosed in double quotes, line 1, column 2."),
        (b"  ", "Not JSON: Expecting value, line 1, column 3."),
        (b'{"name": "a\nb"}', "Not JSON: Invalid control character at, line 1, column 12."),
        (b'{"name": NaN}', "Not JSON: NaN is no number."),
        (b'{"name": -Infinity}', "Not JSON: -Infinity is no number."),
        (b'{"name": "\xff"}', "Not UTF-8, from byte 10 on."),
        ('{"name": "Ada"}'.encode("utf-16"), "Not UTF-8, from byte 0 on."),
        (b'\xef\xbb\xbf{"name": "Ada"}', "Begins with a byte order mark: JSON in UTF-8 has none."),
        (b'{"name": ' + b"9" * 5_000 + b"}", "Nested too deeply, or holds a number of thousands of digits."),
        (b'{"name": "\\ud800", "items": ' + b"9" * 5_000 + b"}", None),
        (b'{"a":' * 20_000, None),
        (b"[1," * 20_000 + b"]", None),
    ],
)
def test_what_nobody_can_have_meant_is_malformed(schema: Form, body: bytes, rule: str | None) -> None:
    with pytest.raises((Malformed, Invalid)) as refused:
        read_body(body, schema)
    assert rule in (None, refused.value.errors[0]["message"])
