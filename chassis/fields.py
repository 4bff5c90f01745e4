"""The marshmallow fields and the base schema of every request body and query.

A request is refused before anything is changed: unknown fields by name, text that PostgreSQL cannot hold, numbers in
quotes, money with fractions of a cent. Each field tells the OpenAPI document its pattern, and checks by that pattern:
so the document and the service say the same, to validators in JavaScript too.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import current_app
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from chassis import notation, patterns
from chassis.codes import nfc, unseen
from chassis.database import LARGEST_AMOUNT
from chassis.errors import MOST_ERRORS
from chassis.settings import Settings

#: A limit: a number, or the name of the setting that it is.
Limit = int | str

#: So many characters at most become one in the normal form.
MOST_DECOMPOSED = 4

_NOT_STORABLE = "Contains a character that cannot be stored."
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def limit_of(limit: Limit, settings: Settings | None = None) -> int:
    """This limit by these settings, or by those of the app that handles the request."""
    return limit if isinstance(limit, int) else int(getattr(settings or current_app.extensions["settings"], limit))


class Body(Schema):
    """A request body: fields that it does not know are refused by name."""

    class Meta:
        unknown = RAISE


class Text(fields.String):
    """Text of ``least`` to ``most`` characters, in Unicode's normal form NFC; it is brought to that, and then counted.

    A database can hold it: no NUL, no half of a surrogate pair. Where it may not be empty, blanks and what cannot be
    seen will not do either.
    """

    def __init__(self, *, most: int, least: int = 1, **options: Any) -> None:
        self.most = most
        self._length = validate.Length(min=least, max=most)
        given = options.pop("validate", [])
        checks = [self._length, *(given if isinstance(given, list) else [given])]
        self.pattern = patterns.NOT_BLANK if least else patterns.ANY_TEXT
        self._any, self._fits = re.compile(patterns.ANY_TEXT), re.compile(self.pattern)
        super().__init__(validate=checks, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        if len(text) > MOST_DECOMPOSED * self.most:
            self._length(text)  # before anything looks at each character of what may be a megabyte
        text = nfc(text)
        self._length(text)
        if not self._fits.match(text):
            raise ValidationError("Must not be blank." if self._any.match(text) else _NOT_STORABLE)
        return text


class Typed(Text):
    """Text of a question, as it was typed: rows of older releases may have it in that very spelling."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        super()._deserialize(value, attr, data, **options)
        return str(value)


class Shaped(Text):
    """A key: a text of which more can be said than its length, the pattern that it fits and the rule in words.

    What cannot be seen is no part of it, nor is a blank other than U+0020.
    """

    def __init__(self, pattern: str, rule: str, **options: Any) -> None:
        super().__init__(**options)
        self.pattern, self._shape, self._rule = pattern, re.compile(pattern), rule

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        if not self._shape.match(text):
            raise ValidationError(self._broken_rule(text))
        return text

    def _broken_rule(self, text: str) -> str:
        found = unseen(text)
        if not found:
            return self._rule
        return f"Must not hold {found}: no character that cannot be seen, and no blank but U+0020."


class Code(Shaped):
    """A short text that people type and programs compare: no blank at either end, none but U+0020 within."""

    def __init__(self, **options: Any) -> None:
        super().__init__(patterns.CODE, "Must not begin or end with a blank.", **options)


class Mail(Shaped):
    """An e-mail address that can be written to from anywhere: its domain has a dot, so ``ada@localhost`` is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(patterns.MAIL, "Not a valid email address.", most=320, **options)


class Flag(fields.Boolean):
    """JSON's true or false, and nothing that might mean it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Id(fields.UUID):
    """A UUID as everybody writes it, in either case. Python's own reader takes underscores and braces as well."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> UUID:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class WholeNumber(fields.Integer):
    """A JSON number without a fraction: not a string, not true or false."""

    def __init__(self, *, least: int | None = None, most: Limit | None = None, **options: Any) -> None:
        self.most = most
        fixed = None if isinstance(most, str) else most
        checks = [validate.Range(min=least, max=fixed), *options.pop("validate", [])]
        super().__init__(strict=True, validate=checks, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Must be a whole number.")
        if isinstance(self.most, str) and value > limit_of(self.most):
            raise ValidationError(f"Must be at most {limit_of(self.most)}.")
        return value


class Count(fields.Integer):
    """A whole number in a query, from ``least`` to ``most``."""

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        super().__init__(validate=validate.Range(min=least, max=most), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        try:
            return notation.whole(value)
        except ValueError:
            raise ValidationError("Must be a whole number.") from None


class Moment(fields.AwareDateTime):
    """A moment: ISO 8601, in UTC where it has no offset. What comes of it is in UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_timezone=UTC, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> datetime:
        try:
            return notation.moment(value if isinstance(value, str) else "")
        except ValueError:
            raise ValidationError('Must be a moment such as "2026-03-02T09:15:00Z".') from None


class Money(fields.Decimal):
    """An amount as a decimal string, ``"2.55"``; a JSON number is taken as well. At most two decimal places, and two
    from then on, as a database has it. Never negative."""

    #: As the document has it, which can say how large an amount may be only by its digits.
    pattern = f"^{notation.AMOUNT.replace('*', '{0,9}', 1)}{patterns.END}"

    def __init__(self, **options: Any) -> None:
        super().__init__(as_string=True, validate=validate.Range(max=LARGEST_AMOUNT), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise ValidationError("Not a valid amount.")
        try:
            return notation.amount(str(value))
        except ValueError:
            raise ValidationError(
                'Not a valid amount: digits, with at most two decimal places, as in "2.55".'
            ) from None


class Several(fields.List[Any]):
    """``least`` to ``most`` of something. Those of too long a list are not looked at, nor what is behind many bad ones:
    an answer tells of so many only, and to find out what is wrong with one takes ten times what a good one takes."""

    def __init__(self, inner: Any, *, most: Limit, least: int = 1, **options: Any) -> None:
        self.most = most
        super().__init__(inner, validate=validate.Length(min=least), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if len(value) > (most := limit_of(self.most)):
            raise ValidationError(too_many(most))
        loaded, wrong = [], {}
        for number, each in enumerate(value):
            try:
                loaded.append(self.inner.deserialize(each, **options))
            except ValidationError as error:
                wrong[number] = error.messages
                if len(wrong) > MOST_ERRORS:
                    break
        if wrong:
            raise ValidationError(wrong)
        return loaded


def too_many(most: int) -> str:
    """The rule that a list breaks which is too long."""
    return f"Must be at most {most} lines."
