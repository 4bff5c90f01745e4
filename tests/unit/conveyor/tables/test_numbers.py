"""The number format of a file is found from all of its numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conveyor.tables.cells import Fault
from conveyor.tables.errors import Uncertain
from conveyor.tables.numbers import COMMA, POINT, NumberFormat, NumberSurvey


def survey(*numbers: str, money: bool = False) -> NumberSurvey:
    taken = NumberSurvey()
    for line, number in enumerate(numbers, start=2):
        taken.take(number, line, money=money)
    return taken


@pytest.mark.parametrize(
    ("numbers", "decimal"),
    [
        (("2,000", "12,500", "3,90"), COMMA),
        (("1.000", "0,05", "1.250,00", "2.500"), COMMA),
        (("2.55", "1,250.00", "1,000"), POINT),
        (("1.000.000", "3"), COMMA),
        (("1,000,000", "3"), POINT),
        (("0.500",), POINT),
        (("0,500",), COMMA),
        (("1 250,00",), COMMA),
        (("1\u00a0250,00",), COMMA),
        (("1\u202f250,0",), COMMA),
        (("1'250.00",), POINT),
        (("2.0", "3.0"), POINT),
        (("1234.500",), POINT),
        (("7", "8"), POINT),
    ],
)
def test_the_format_is_found(numbers: tuple[str, ...], decimal: str) -> None:
    assert survey(*numbers).decide().decimal == decimal


@pytest.mark.parametrize("numbers", [("2,000",), ("1.250", "7"), ("2,000", "1.000"), ("3,90", "2.55")])
def test_a_format_that_is_not_certain_is_asked_for(numbers: tuple[str, ...]) -> None:
    with pytest.raises(Uncertain, match="Say --decimal point or --decimal comma"):
        survey(*numbers).decide()
    assert survey(*numbers).decide(COMMA).decimal == COMMA


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1.250,00", COMMA, "1250.00"),
        ("1.250", COMMA, "1250"),
        ("12,500", COMMA, "12.500"),
        ("1,250.00", POINT, "1250.00"),
        ("1 250", POINT, "1250"),
        ("1'250'000.5", POINT, "1250000.5"),
        ("1,25,000.00", POINT, "125000.00"),
        (".5", POINT, "0.5"),
        ("5.", POINT, "5"),
        ("-3", POINT, "-3"),
        ("\u22123", POINT, "-3"),
        ("3-", POINT, "-3"),
        ("(3.50)", POINT, "-3.50"),
        ("+4", POINT, "4"),
    ],
)
def test_a_number_is_read_in_the_format_of_its_file(text: str, decimal: str, value: str) -> None:
    assert NumberFormat(decimal).number(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "£2.50",
        "2.50 €",
        "EUR 2.50",
        "2.50 EUR",
        "US$2.50",
        "$2.50",
        "CHF 2.50",
        "2.50 zł",
        "2.50 Kč",
        "Fr. 2.50",
        "€\u00a02.50",
    ],
)
def test_a_currency_may_stand_beside_money_and_beside_nothing_else(text: str) -> None:
    assert NumberFormat(POINT).number(text, money=True) == Decimal("2.50")
    assert NumberFormat(POINT).number(text) is None


@pytest.mark.parametrize("text", ["-£2.50", "£-2.50", "-2.50 €", "(2.50 €)", "(€2.50)"])
def test_a_negative_price_is_negative_wherever_its_sign_stands(text: str) -> None:
    assert NumberFormat(POINT).number(text, money=True) == Decimal("-2.50")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two",
        "1e3",
        "NaN",
        "Infinity",
        "1_000",
        "٣",
        "1.2.3",
        "12,34,5",
        "--1",
        "2 pcs",
        "1,00,0",
        "0,123,456",
        "-",
        ".",
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert NumberFormat(POINT).number(text) is None


def test_a_number_of_a_workbook_is_what_it_is() -> None:
    taken = survey()
    taken.take(Decimal("12.500"), 2)
    assert not taken.told
    assert NumberFormat(COMMA).number(Decimal("12.5")) == Decimal("12.5")
    assert NumberFormat(COMMA).number(Fault("#N/A")) is None


def written(value: Decimal, decimal: str, grouped: str) -> str:
    whole, _, part = f"{value:,.2f}".partition(".")
    return whole.replace(",", grouped) + {POINT: ".", COMMA: ","}[decimal] + part


@given(
    st.lists(st.decimals(0, 10_000_000, places=2), min_size=1),
    st.sampled_from(
        [(POINT, ","), (POINT, " "), (POINT, "'"), (POINT, ""), (COMMA, "."), (COMMA, "\u00a0"), (COMMA, "")]
    ),
)
def test_the_same_numbers_are_read_whichever_way_they_are_written(values, style) -> None:
    texts = [written(value, *style) for value in values]
    found = survey(*texts).decide()
    assert [found.number(text) for text in texts] == values
