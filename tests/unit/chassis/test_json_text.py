"""JSON: what one process has written another can read, whatever text is in it."""

import json
from decimal import Decimal
from typing import Any

import pytest

from chassis.json_text import read_json, write_json

HALF = "half of a pair: \ud83d"


@pytest.mark.parametrize("value", [None, 1, "é", {"lines": [{"quantity": 2}]}, HALF, {HALF: [HALF]}])
def test_what_was_written_is_read_again(value: Any) -> None:
    assert read_json(write_json(value)) == value
    assert read_json(write_json(value).decode()) == value


def test_half_of_a_surrogate_pair_is_spelt_in_ascii() -> None:
    assert write_json(HALF) == json.dumps(HALF).encode()


@pytest.mark.parametrize("text", ["fine", HALF])
def test_what_is_not_json_becomes_what_the_caller_makes_of_it(text: str) -> None:
    assert read_json(write_json({"text": text, "odd": 1j}, default=str)) == {"text": text, "odd": "1j"}
    with pytest.raises(TypeError):
        write_json({"text": text, "odd": 1j})


def test_an_amount_of_money_is_written_as_its_digits() -> None:
    assert [read_json(write_json([Decimal("2.50"), text])) for text in ("fine", HALF)] == [
        ["2.50", "fine"],
        ["2.50", HALF],
    ]


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Illegal|decode"):
        read_json(text)
