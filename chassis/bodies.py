"""How a request's body is read: what cannot be a valid one for this route is refused before values are made of it.

A megabyte of ``[1,1,1,...`` or ``{},{},...`` is half a million values, and each of them costs a thousand times what it
cost to send. So marks that begin or part values are counted first: a body of its route's schema has no more of them
than the schema's fields, its lists' limits and its texts' lengths allow. With that many the whole body is read, and
marshmallow says all that is wrong with it. With more, msgspec reads it into structs of the same shape: it stops at the
first thing that is out of place, and names it.

Of two members of the same name the last one counts, as in JavaScript and Python, here and in the gateway alike.
"""

import json
import re
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import msgspec
from flask import current_app
from marshmallow import Schema, fields

from chassis.errors import LONGEST_NAME, Invalid, Malformed
from chassis.fields import Several, Text, limit_of, too_many
from chassis.notation import LONGEST

_MARKS = (b",", b":", b"[", b"{")
#: How many bytes are looked at before the count is.
_PIECE = 32_768
#: So many are let pass on any route: a small body is told all that is wrong with it, whatever it is.
_ALWAYS = 500

_SCALAR = str | int | float | bool | None


class Shape(msgspec.Struct, frozen=True):
    """What the bodies of a schema have in common: the most marks, and a reader that stops at what is out of place."""

    most_marks: int
    decoder: msgspec.json.Decoder[Any]


def read_body(body: bytes, schema: Schema) -> Any:
    """The value that this body of a request spells. Raises Malformed, Invalid."""
    shape = _shape_of(schema)
    if _has_more_marks(body, shape.most_marks):
        _refuse_misshapen(body, shape)
    try:
        return _read(body)
    except (msgspec.ValidationError, RecursionError):
        _refuse("Nested too deeply, or holds a number of thousands of digits.")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_as_python_does(body)


def _has_more_marks(body: bytes, most: int) -> bool:
    """Counts no further than it has to: to the end of the piece in which there are too many."""
    for begin in range(0, len(body), _PIECE):
        most -= sum(body.count(mark, begin, begin + _PIECE) for mark in _MARKS)
        if most < 0:
            return True
    return False


def _number(text: str) -> Decimal:
    """A number with a fraction, exactly as it is written; with an exponent, or longer than any of use, it is none."""
    return Decimal(text) if len(text) <= LONGEST and "e" not in text.lower() else _NO_NUMBER


_NO_NUMBER = Decimal("NaN")
_read = msgspec.json.Decoder(float_hook=_number).decode


def _read_as_python_does(body: bytes) -> Any:
    """What msgspec does not take: half of a surrogate pair, which its field refuses by name; else a better message."""
    try:
        text = body.decode()
        if text.startswith("\ufeff"):
            _refuse("Begins with a byte order mark: JSON in UTF-8 has none.")
        return json.loads(text, parse_float=_number, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        _refuse(f"Not UTF-8, from byte {error.start} on.")
    except json.JSONDecodeError as error:
        _refuse(f"Not JSON: {error.msg}, line {error.lineno}, column {error.colno}.")
    except (RecursionError, ValueError):
        _refuse("Nested too deeply, or holds a number of thousands of digits.")


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"Not JSON: {name} is no number.")


def _refuse(rule: str) -> NoReturn:
    raise Malformed(f"body: {rule}", errors=[{"field": "body", "message": rule}]) from None


def _refuse_misshapen(body: bytes, shape: Shape) -> None:
    """Refuse a body by the first thing in it that is out of place. Raises Invalid, Malformed.

    It returns where there is none: texts of many commas, which are short enough or will be refused as too long.
    """
    try:
        shape.decoder.decode(body)
    except msgspec.ValidationError as error:
        field, rule = _said(str(error))
        raise Invalid(f"{field}: {rule}", errors=[{"field": field, "message": rule}]) from None
    except RecursionError:
        _refuse("Nested too deeply.")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(f"Not JSON: {error}.")


def _said(complaint: str) -> tuple[str, str]:
    """What msgspec complains of, as the field and the rule, in the words that marshmallow has for them."""
    what, _, where = complaint.partition(" - at `$")
    steps = re.sub(r"\[(\d+)\]", r".\1", where.rstrip("`")).lstrip(".")
    what = what.replace("`", "")
    for beginning, rule in _RULES.items():
        if what.startswith(beginning):
            rest = what.removeprefix(beginning)[:LONGEST_NAME]
            return (steps or "body", too_many(int(rest))) if "{most}" in rule else (f"{steps}.{rest}".lstrip("."), rule)
    return steps or "body", f"{what[:200]}."


_RULES = {
    "Object contains unknown field ": "Unknown field.",
    "Object missing required field ": "Missing data for required field.",
    "Expected array of length <= ": "{most}",
}


def _shape_of(schema: Schema) -> Shape:
    """This schema's shape, by the limits of the app that handles the request."""
    shapes: dict[Schema, Shape] = current_app.extensions.setdefault("shapes", {})
    if schema not in shapes:
        shapes[schema] = Shape(
            max(_ALWAYS, _marks_of(schema)), msgspec.json.Decoder(_struct_of(schema), float_hook=_number)
        )
    return shapes[schema]


def _marks_of(schema: Schema) -> int:
    """The most marks that a valid body has."""
    return 1 + sum(2 + _marks_in(field) for field in schema.fields.values())


def _marks_in(field: fields.Field[Any]) -> int:
    if isinstance(field, Text):
        return field.most
    if isinstance(field, Several):
        return 1 + limit_of(field.most) * (1 + _marks_in(field.inner))
    return _marks_of(field.schema) if isinstance(field, fields.Nested) else 0


def _struct_of(schema: Schema) -> Any:
    """A struct with these fields and no others."""
    members = [
        (name, _type_of(field), *([] if field.required else [msgspec.UNSET])) for name, field in schema.fields.items()
    ]
    return msgspec.defstruct(type(schema).__name__, members, kw_only=True, forbid_unknown_fields=True, gc=False)


def _type_of(field: fields.Field[Any]) -> Any:
    if isinstance(field, Several):
        return Annotated[list[_type_of(field.inner)], msgspec.Meta(max_length=limit_of(field.most))]  # type: ignore[misc]
    return _struct_of(field.schema) if isinstance(field, fields.Nested) else _SCALAR
