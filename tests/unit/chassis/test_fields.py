"""What a field of a request takes and what it does not."""

from decimal import Decimal
from typing import Any

import pytest
from marshmallow import ValidationError

from chassis.fields import Body, Money, Text, WholeNumber


class Form(Body):
    """A body with one field of each kind."""

    name = Text(most=5)
    note = Text(least=0, most=5)
    count = WholeNumber(least=-2, most=9)
    price = Money()


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("name", " Ada ", " Ada "),
        ("name", "\U0001f4a1" * 5, "\U0001f4a1" * 5),
        ("note", "", ""),
        ("note", "  ", "  "),
        ("count", -2, -2),
        ("count", 9, 9),
        ("price", "2.5", Decimal("2.50")),
        ("price", "2.50000", Decimal("2.50")),
        ("price", 2.55, Decimal("2.55")),
        ("price", 3, Decimal("3.00")),
        ("price", "0", Decimal("0.00")),
        ("price", "9999999999.99", Decimal("9999999999.99")),
    ],
)
def test_a_good_value_is_taken(field: str, given: Any, taken: Any) -> None:
    loaded = Form().load({field: given})[field]
    assert (loaded, str(loaded)) == (taken, str(taken))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        *[("name", each) for each in ("", "  ", "\n", "abcdef", "a\x00", "\ud800", 7, None, ["a"], True)],
        *[("note", each) for each in ("abcdef", "a\x00", None)],
        *[("count", each) for each in (-3, 10, 1.0, 1.5, "1", True, False, None, float("inf"), [1])],
        *[
            ("price", each)
            for each in ("-0.01", "0.001", "10000000000", "1e30", "NaN", "-Infinity", "", "x", True, None)
        ],
        ("price", "1" * 33),
        ("price", 1e300),
        ("other", 1),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, given: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Form().load({field: given})
    assert list(refused.value.messages) == [field]


@pytest.mark.parametrize(("stored", "shown"), [(Decimal("2.50"), "2.50"), (Decimal("0.00"), "0.00"), (None, None)])
def test_money_is_shown_as_a_string_and_never_as_a_float(stored: Any, shown: Any) -> None:
    assert Form().dump({"price": stored}) == {"price": shown}
