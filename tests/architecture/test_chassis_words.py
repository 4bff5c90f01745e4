"""The chassis has not one business word in it: that is how shared code stays free of everybody's rules."""

import re
from pathlib import Path

import pytest

import chassis

FILES = sorted(Path(str(chassis.__file__)).parent.glob("*.py"))
#: "order" and "delivery" are innocent: ``order_by``, and the delivery of messages.
BUSINESS = re.compile(r"(?<![a-z])(customer|product|stock|sales|inventor(?:y|ies))s?(?![a-z])", re.IGNORECASE)
#: Every setting of every process stands in one list, so that one page documents them all: it has to name the services.
NAMES_SERVICES = "settings.py"


@pytest.mark.parametrize("file", [each for each in FILES if each.name != NAMES_SERVICES], ids=lambda each: each.name)
def test_a_module_of_the_chassis_speaks_of_no_business(file: Path) -> None:
    assert [line for line in file.read_text().splitlines() if BUSINESS.search(line)] == []


@pytest.mark.parametrize("word", ["the customer", "sales_relay", "Stock", "products", "INVENTORY_URL"])
def test_control_a_business_word_is_found(word: str) -> None:
    assert BUSINESS.search(word)


@pytest.mark.parametrize("word", ["production", "order_by", "delivery", "stocking"])
def test_an_innocent_word_is_let_through(word: str) -> None:
    assert not BUSINESS.search(word)
