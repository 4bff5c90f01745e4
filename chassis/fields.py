"""The marshmallow fields and the base schema of every request body.

A request is refused before anything is changed: unknown fields by name, text that PostgreSQL cannot hold, numbers in
quotes, money with fractions of a cent.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from chassis.database import LARGEST_AMOUNT

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


class Body(Schema):
    """A request body: fields that it does not know are refused by name."""

    class Meta:
        unknown = RAISE


class Text(fields.String):
    """Text of ``least`` to ``most`` characters that a database can hold: no NUL, no half of a surrogate pair.

    Where it may not be empty, blanks alone will not do either.
    """

    def __init__(self, *, most: int, least: int = 1, **options: Any) -> None:
        self._least = least
        checks = [validate.Length(min=least, max=most)]
        given = options.pop("validate", [])
        checks += given if isinstance(given, list) else [given]
        super().__init__(validate=checks, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        if _NOT_STORABLE.search(text):
            raise ValidationError("Contains a character that cannot be stored.")
        if self._least and not text.strip():
            raise ValidationError("Must not be blank.")
        return text


class WholeNumber(fields.Integer):
    """A JSON number without a fraction: not a string, not true or false."""

    def __init__(self, *, least: int | None = None, most: int | None = None, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=least, max=most), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Must be a whole number.")
        return value


class Money(fields.Decimal):
    """An amount as a decimal string, ``"2.55"``; a JSON number is taken as well. At most two decimal places, and two
    from then on, as a database has it."""

    def __init__(self, *, least: Decimal = Decimal(0), **options: Any) -> None:
        super().__init__(as_string=True, validate=validate.Range(min=least, max=LARGEST_AMOUNT), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Decimal:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > 32):
            raise ValidationError("Not a valid amount.")
        amount: Decimal = super()._deserialize(value, attr, data, **options)
        if amount != amount.quantize(Decimal("0.01")) if amount.adjusted() < 20 else True:
            raise ValidationError("Must have at most two decimal places.")
        return amount.quantize(Decimal("0.01"))
