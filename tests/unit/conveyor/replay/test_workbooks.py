"""Order books in workbooks: numbers are numbers, texts are texts, and what a spreadsheet has lost is refused."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from conveyor.replay.answers import Answers
from conveyor.replay.opened import opened_book
from conveyor.tables.errors import Uncertain

TITLES = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
DAY = datetime(2026, 5, 4, 11)


@pytest.fixture(params=["xlsx", "ods"])
def workbook(request: pytest.FixtureRequest) -> Callable[..., Path]:
    return request.getfixturevalue(request.param)


def read(file: Path, **answers: object) -> tuple[list[tuple[str, str, int]], dict[int, str], dict[str, str]]:
    with opened_book(file, Answers(**answers)) as book:
        lines = [(each.number, item.sku, item.quantity) for each in book.invoices() for item in each.items]
        return lines, {each.number: each.reason for each in book.rejects()}, dict(book.said)


def test_a_book_in_a_workbook_is_a_book(workbook) -> None:
    rows = [
        (1001, 4006381333931, "Cup", 2, DAY, 4.5, 17, "Malta"),
        (None, "00123", "Saucer", "1", None, "3,50", None, None),
        (1002, "P-3", "Pot", 1, "04.05.2026 12:00", 1250, 18, "Malta"),
    ]
    file = workbook({"Notes": [("of May",)], "Orders": [("May",), TITLES, *rows]})
    lines, rejects, said = read(file)
    assert lines == [("1001", "4006381333931", 2), ("1001", "00123", 1), ("1002", "P-3", 1)]
    assert rejects == {1: "above the header"}
    assert "sheet 'Orders', the only one of 2 with such columns" in said["file"]
    assert said["numbers"].startswith("decimal comma (3,50")


def test_a_text_that_may_be_two_numbers_is_asked_for_beside_numbers_that_are_certain(workbook) -> None:
    file = workbook({"Orders": [TITLES, (1, "A", "", "2,000", DAY, 4.5, 1, "")]})
    with pytest.raises(Uncertain, match="Say --decimal"):
        read(file)
    assert read(file, decimal="comma")[0] == [("1", "A", 2)]


def test_what_a_spreadsheet_has_lost_is_refused_with_the_reason(workbook) -> None:
    rows = [
        (8012345678901234, "A", "", 1, DAY, 1, 1, ""),
        (2, "#N/A", "", 1, DAY, 1, 1, ""),
        (3, "B", "", "=D1*2", DAY, 1, 1, ""),
        (4, datetime(2026, 3, 1), "", 1, DAY, 1, 1, ""),
        (5, "C", "", 1, DAY, "=F1*2", 1, ""),
        (6, "D", "", 1, DAY, 1, "#REF!", ""),
        (7, "E", "", 1, DAY, 1, 7, ""),
    ]
    lines, rejects, _ = read(workbook({"Orders": [TITLES, *rows]}))
    assert lines == [("7", "E", 1)]
    assert {number: why.split(":")[0] for number, why in rejects.items()} == {
        2: "the order number is a number of more than 15 digits, 8012345678901234",
        3: "the stock code is #N/A, without a value",
        4: "the quantity is a formula, without a value",
        5: "the stock code is a date, 2026-03-01 00",
        6: "the price is a formula, without a value",
        7: "the customer is #REF!, without a value",
    }


def test_the_rejects_of_a_workbook_can_be_corrected_and_replayed(workbook, run, gateway, tmp_path) -> None:
    file = workbook(
        {"Orders": [TITLES, (1, "A", "Cup; blue", 1, DAY, 4.5, 9, "Malta"), (1, "B", "", 0, DAY, 2, 9, "")]}
    )
    run(file)
    rejects = tmp_path / "book.rejects.csv"
    rejects.write_text(rejects.read_text().replace(",B,,0,", ",B,,3,"))
    assert read(rejects)[0] == [("1", "B", 3)]
