"""What a field of a request takes and what it does not."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from marshmallow import ValidationError

from chassis.errors import MOST_ERRORS
from chassis.fields import Body, Code, Count, Id, Mail, Moment, Money, Several, Text, WholeNumber

ID = UUID("0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10")


class Form(Body):
    """A body with one field of each kind."""

    name = Text(most=5)
    note = Text(least=0, most=5)
    count = WholeNumber(least=-2, most=9)
    price = Money()
    sku = Code(most=9)
    email = Mail()
    id = Id()
    limit = Count(least=1, most=100)
    since = Moment()
    several = Several(WholeNumber(), most=30)


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
        ("price", Decimal("2.5"), Decimal("2.50")),
        ("sku", "A B-1", "A B-1"),
        ("sku", "\U0001f4a1", "\U0001f4a1"),
        *[("email", each, each) for each in ("a.b+c@x-y.example.co", "ада@пример.рф", "o'neil@xn--bcher-kva.example")],
        ("id", str(ID).upper(), ID),
        ("limit", "100", 100),
        ("since", "2026-03-02T09:15:00+16:30", datetime(2026, 3, 1, 16, 45, tzinfo=UTC)),
        ("several", [1] * 30, [1] * 30),
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
        *[
            ("price", each)
            for each in ("1_000", " 5 ", "\uff15", "1e2", "+5", "05", ".5", "5.", "-0", Decimal("NaN"), [1], {})
        ],
        *[("sku", each) for each in (" A", "A ", "A\n", "A\nB", "\x1cA", "A\x85", "\ufeffA", "A\x1b[2J", "\u2028", 5)],
        *[("name", each) for each in ("\ufeff", "\x1c", "\x85", "\u3000")],
        *[
            ("email", each)
            for each in (
                "ada@localhost",
                "a@1.2.3.4",
                "a@[1.2.3.4]",
                "a@b@x.com",
                "a@x.com\n",
                "a..b@x.com",
                "a\x1b@x.com",
            )
        ],
        *[("email", each) for each in ("a@x.\uff11\uff12", "@x.com", "a@-x.com", "a@x-.com", "a@.com", "a@x_y.com", 5)],
        *[("id", each) for each in (ID.hex, f"{{{ID}}}", f"urn:uuid:{ID}", str(ID).replace("0", "\u0660", 1), 5, [ID])],
        *[("limit", each) for each in ("0", "101", "1_0", " 5", "+5", "05", "\uff15", "1e1", "5.0", "")],
        *[("since", each) for each in ("", "now", "0000-01-01", "2026-02-30", "\uff12026")],
        *[("several", each) for each in ([], [1] * 31, 1, {}, "1", [1, "x"])],
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


def test_a_list_is_looked_at_only_until_enough_is_wrong_with_it() -> None:
    class Seen(WholeNumber):
        count = 0

        def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
            Seen.count += 1
            return super()._deserialize(value, *args, **options)

    class Sieve(Body):
        items = Several(Seen(), most=1_000)

    assert len(Sieve().validate({"items": ["x"] * 1_000})["items"]) == Seen.count == MOST_ERRORS + 1


def test_a_megabyte_of_text_is_refused_by_its_length_alone() -> None:
    began = time.process_time()
    for field in ("name", "sku", "email", "id", "price", "since"):
        assert Form().validate({field: "a@" * 500_000})
    assert time.process_time() - began < 0.05
