"""How numbers and moments are written, and what merely looks like one to Python."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chassis.notation import amount, decimal, moment, whole

#: Each of these is a number to ``int``, ``float`` or ``Decimal``.
PYTHON_ALONE = [
    "1_000",
    " 5",
    "5 ",
    "5\n",
    "+5",
    "05",
    "-05",
    "\u0663",
    "\uff11\uff12",
    "1e2",
    "1E2",
    ".5",
    "5.",
    "inf",
    "NaN",
    "0x5",
]


@pytest.mark.parametrize("read", [whole, decimal, amount])
@pytest.mark.parametrize("text", [*PYTHON_ALONE, "", "-", "1,5", "1.2.3", "--1", "9" * 33, "1_0.5", "²"])
def test_what_json_would_not_write_is_no_number(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        read(text)


@pytest.mark.parametrize(
    ("read", "text", "number"),
    [
        (whole, "0", 0),
        (whole, "-17", -17),
        (whole, "9" * 32, int("9" * 32)),
        (decimal, "-0.125", Decimal("-0.125")),
        (decimal, "3", Decimal(3)),
        (amount, "2.5", Decimal("2.50")),
        (amount, "2.5000", Decimal("2.50")),
        (amount, "0", Decimal("0.00")),
        (amount, "9" * 32, Decimal("9" * 32 + ".00")),
    ],
)
def test_a_number_is_read_exactly(read: Callable[[str], Any], text: str, number: Any) -> None:
    assert str(read(text)) == str(number)


@pytest.mark.parametrize("text", ["-0.01", "2.555", "2.001", "1e-2"])
def test_an_amount_has_no_sign_and_no_fraction_of_a_cent(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        amount(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-02T09:15:00.120001+01:00", datetime(2026, 3, 2, 8, 15, 0, 120001, UTC)),
        ("2026-03-02t09:15z", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("2026-03-02 09:15:00", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-02T09:15:00+16:30", datetime(2026, 3, 1, 16, 45, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+00:01", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(text: str, at: datetime) -> None:
    assert (moment(text), moment(text).tzinfo) == (at, UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-13-01", "2026-02-30", "20260302", "2026-W10-1", "\uff12026-03-02", "17"),
        *("0000-01-01", "10000-01-01", "2026-03-02T09:15+24:00"),
        *("2026-03-02T09:15:00 01:00", "2026-03-02T09:15:00+01", "2026-03-02\n"),
    ],
)
def test_what_is_no_moment_or_none_of_our_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment(text)
