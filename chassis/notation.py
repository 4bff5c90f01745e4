"""How numbers and moments are written as text, wherever they come in: bodies, queries, paths, settings, options.

A number is written as JSON does it, without an exponent: ASCII digits, no leading zeros, no plus sign, no blanks, no
underscores. Python's own ``int``, ``float`` and ``Decimal`` take all of these, and digits of any script.
"""

import re
from datetime import UTC, datetime
from decimal import Context, Decimal

#: A whole number that is not negative, as a pattern for paths and documents.
WHOLE = "(?:0|[1-9][0-9]*)"
#: An amount of money: not negative, with two decimal places at most; zeros behind these say nothing and are let pass.
AMOUNT = WHOLE + r"(?:\.[0-9]{1,2}0*)?"

#: No number that anything here has a use for is longer; longer ones would only cost time.
LONGEST = 32

_WHOLE = re.compile(f"-?{WHOLE}")
_DECIMAL = re.compile(rf"-?{WHOLE}(\.[0-9]+)?")
_AMOUNT = re.compile(AMOUNT)
_EXACT = Context(prec=LONGEST + 2)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)


def whole(text: str) -> int:
    """The whole number that this text spells. Raises ValueError."""
    if len(text) > LONGEST or not _WHOLE.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def serial(text: str) -> int:
    """The number of a row that this text spells, as a bigint holds it. Raises ValueError."""
    number = whole(text)
    if not 0 <= number < 2**63:
        raise ValueError("not a number of a row")
    return number


def decimal(text: str) -> Decimal:
    """The number that this text spells, with or without a fraction. Raises ValueError."""
    if len(text) > LONGEST or not _DECIMAL.fullmatch(text):
        raise ValueError("not a number")
    return Decimal(text)


def amount(text: str) -> Decimal:
    """The amount of money that this text spells, in full cents. Raises ValueError."""
    if len(text) > LONGEST or not _AMOUNT.fullmatch(text):
        raise ValueError("not an amount")
    return Decimal(text).quantize(Decimal("0.01"), context=_EXACT)


def moment(text: str) -> datetime:
    """The moment that this text names in ISO 8601, in UTC; UTC is meant where it has no offset.

    PostgreSQL knows no offset beyond 15:59, which is why it is UTC that goes on; the years there are 1 to 9999, and the
    first or last moment of these is what is meant by one that an offset moves out of them. Raises ValueError.
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError("not a moment")
    read = datetime.fromisoformat(text.upper())
    try:
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError:
        return (datetime.min if read.year == 1 else datetime.max).replace(tzinfo=UTC)
