"""docs/scaling.md: the rows of its model are what its own formula and figures give."""

import re
from math import ceil
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()

#: Milliseconds of CPU: what an order costs wherever it is, what its bundle costs, what PostgreSQL has of it.
PER_ORDER, PER_BUNDLE, POSTGRES = 1.95 + 0.7, 12.3, 0.56
BUSY = 0.9
#: Orders a second that one of a kind can do: sales' web process, the gateway, a worker, a relay of sales.
LIMITS = (1_200, 1_700, 2_500, 10_000)


def model(cores: int, elsewhere: bool) -> tuple[int, float]:
    """Orders a second, and the CPU of each in ms."""
    spent = PER_ORDER - (POSTGRES if elsewhere else 0)
    budget = cores * BUSY * 1_000
    rate = (budget - PER_BUNDLE / 0.08) / spent  # of bundles that grow with the rate
    if rate * 0.08 > 64:
        rate = budget / (spent + PER_BUNDLE / 64)
    return round(rate), round(budget / rate, 2)


ROWS = re.findall(r"^\| (\d+) cores(.*?) \| ([\d,]+) \| ([\d.]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", PAGE, re.M)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} cores{row[1]}")
def test_a_row_of_the_model_is_what_the_page_s_figures_give(row: tuple[str, ...]) -> None:
    cores, where, rate, cost, *processes = row
    orders, spent = model(int(cores), "elsewhere" in where)
    assert (int(rate.replace(",", "")), float(cost)) == (orders, spent)
    assert [int(each) for each in processes] == [ceil(orders / limit) for limit in LIMITS]


def test_the_page_has_the_figures_that_it_is_calculated_with() -> None:
    assert len(ROWS) == 6
    for figure in (
        "1.95 together",
        "`h` is .7",
        "`m` = 12.3",
        "1,200 orders/s",
        "1,700 one",
        "2,500",
        "10,000 a relay",
    ):
        assert figure in PAGE
