"""Order books as they come: what is sent of them, and what is dropped and why."""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conveyor.replay.answers import Answers
from conveyor.replay.book import Book
from conveyor.replay.opened import NoOrderBook, read_book
from conveyor.tables.errors import TableError

BOOKS = Path(__file__).parents[3] / "fixtures" / "order_books"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINE = "A1,MUG,Stone mug,2,2026-01-05 09:00:00,7.50,501,Norway\n"


def book(name: str) -> Book:
    return read_book((BOOKS / f"{name}.csv").read_bytes())


def lines(of: Book) -> list[tuple[str, str, int]]:
    """Every line that is sent: invoice, stock code, quantity."""
    return [(invoice.number, item.sku, item.quantity) for invoice in of.invoices for item in invoice.items]


def dropped(of: Book) -> dict[int, str]:
    """Line number to reason."""
    return {reject.number: reject.reason for reject in of.rejects}


def test_a_product_twice_on_an_invoice_stays_twice_on_the_order() -> None:
    read = book("repeated_products")
    assert lines(read) == [("A1", "MUG", 2), ("A1", "MUG", 3), ("A1", "TRAY", 1)]
    assert read.products["MUG"].demand == 5
    assert not read.rejects


def test_the_price_of_a_product_is_its_first_positive_one() -> None:
    read = book("prices")
    assert read.products["MUG"].price == Decimal("7.50")
    assert read.products["BOWL"].price == Decimal("12.35")


def test_a_line_given_away_is_sent_if_its_product_has_a_price_elsewhere() -> None:
    assert ("A1", "MUG", 1) in lines(book("prices"))


def test_a_product_that_nowhere_costs_a_cent_is_dropped() -> None:
    read = book("prices")
    assert dropped(read) == {
        5: "no price: GIFT has none above 0 anywhere in the book",
        6: "no price: DUST has none above 0 anywhere in the book",
        9: "the price is negative: -11062.06",
    }
    assert list(read.products) == ["MUG", "BOWL"]


def test_nobody_is_the_guest_and_a_spreadsheets_number_is_the_number() -> None:
    customers = {invoice.number: invoice.customer for invoice in book("customers").invoices}
    assert customers == {"A1": "", "A2": "", "A3": "", "A4": "501", "A5": "501", "A6": "502"}


def test_an_invoice_takes_its_country_from_the_first_line_that_has_one() -> None:
    assert book("customers").invoices[5].country == "Norway"


def test_credit_notes_and_returns_are_dropped_and_the_rest_of_the_invoice_stays() -> None:
    read = book("credit_notes")
    assert lines(read) == [("500001", "MUG", 6), ("500004", "TRAY", 1)]
    assert dropped(read) == {
        3: "credit note (rules uci): C500002 is C and digits",
        4: "credit note (rules uci): c500003 is C and digits",
        5: "the quantity is negative: -1",
    }


def test_what_is_no_product_is_dropped_and_an_invoice_of_nothing_else_is_no_order() -> None:
    read = book("no_products")
    assert lines(read) == [("500001", "MUG", 1), ("500004", "TRAY", 1)]
    assert sorted(dropped(read)) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert dropped(read)[7] == "no product (rules uci): BANK CHARGES"
    assert dropped(read)[9] == "a note without a price (rules uci): 'damaged'"


def test_quotes_hold_commas_quotes_and_line_breaks_together() -> None:
    read = book("quoted")
    assert not read.rejects
    assert lines(read)[:3] == [("A1", "MUG", 1), ("A1", "RULER", 1), ("A1", "PLATE", 1000)]
    assert read.products["MUG"].name == "Mug, stone, large"
    assert read.products["RULER"].name == '12" ruler'
    assert read.products["RULER"].price == Decimal("1250.00")
    assert read.products["PLATE"].name == '5" plate'
    assert read.products["CARD"].name == "Card of two lines"
    assert read.invoices[2].items[0].number == 7


def test_a_broken_row_is_dropped_alone() -> None:
    read = book("broken_rows")
    assert lines(read) == [("A1", "MUG", 1), ("A1", "VASE", 1), ("A1", "LAMP", 1)]
    assert dropped(read) == {
        3: "broken row: 3 columns where the header has 8",
        4: "broken row: 2 columns where the header has 8",
        5: "broken row: 9 columns where the header has 8",
        7: "the quantity is no number: 'two'",
        8: "the quantity is no whole number: 1.5",
        9: "the quantity is zero: 0",
        10: "the quantity is over 100,000, the most of one line: 100001",
        11: "the price is no number: 'cheap'",
        13: "no stock code",
    }
    assert read.rejects[0].text == "A1,TRAY,Birch tray"


def test_a_stray_quote_swallows_no_line_even_if_another_one_closes_it() -> None:
    stray = 'A2,BOWL,"Salad bowl,1,2026-01-05 09:00:00,12.00,501,Norway\n'
    closing = 'A3,TRAY,"Birch tray",1,2026-01-05 09:00:00,19.00,501,Norway\n'
    late = 'A4,TRAY,Birch tray",1,2026-01-05 09:00:00,19.00,501,Norway\n'
    read = read_book((HEADER + stray + LINE + closing + late).encode())
    assert lines(read) == [("A1", "MUG", 2), ("A3", "TRAY", 1), ("A4", "TRAY", 1)]
    assert sorted(dropped(read)) == [2]


def test_lines_between_two_stray_quotes_are_lines() -> None:
    opening = 'A2,BOWL,"Salad bowl,1,2026-01-05 09:00:00,12.00,501,Norway\n'
    closing = 'A4,TRAY,Birch tray",1,2026-01-05 09:00:00,19.00,501,Norway\n'
    read = read_book((HEADER + opening + LINE + closing).encode())
    assert lines(read) == [("A1", "MUG", 2), ("A4", "TRAY", 1)]


def test_columns_are_found_by_name_in_any_order() -> None:
    read = book("other_columns")
    assert lines(read) == [("A1", "MUG", 2), ("A1", "TRAY", 1)]
    assert read.products["TRAY"].price == Decimal("19.00")
    assert read.products["TRAY"].name == "TRAY"
    assert read.invoices[0].customer == "501"


def test_both_ways_to_write_a_date_are_read_and_no_date_stops_no_order() -> None:
    assert [invoice.date for invoice in book("dates").invoices] == [
        datetime(2010, 12, 1, 8, 26),
        datetime(2010, 12, 9, 8, 26),
        datetime(2010, 12, 10, 18, 26),
        None,
    ]


def test_semicolons_come_with_decimal_commas() -> None:
    read = book("semicolons")
    assert lines(read) == [("A1", "MUG", 2)]
    assert read.products["MUG"].price == Decimal("7.50")
    assert read.products["MUG"].name == "Mug, stone"


@pytest.mark.parametrize(
    ("name", "encoding", "description"),
    [
        ("utf8", "utf-8", "Café cup"),
        ("utf8_bom", "utf-8-sig", "Café cup"),
        ("utf16", "utf-16", "Café cup"),
        ("utf16_le_without_mark", "utf-16-le", "Café cup"),
        ("utf16_be_without_mark", "utf-16-be", "Café cup"),
    ],
)
def test_an_encoding_is_recognized(name: str, encoding: str, description: str) -> None:
    read = book(f"encoding_{name}")
    assert read.encoding == encoding
    assert read.products["CUP"].name == description
    assert not read.rejects


@pytest.mark.parametrize(("encoding", "description"), [("cp1252", "Café € cup"), ("iso8859-1", "Café cup")])
def test_an_encoding_that_is_not_certain_is_taken_as_the_operator_says(encoding: str, description: str) -> None:
    raw = (BOOKS / f"encoding_{encoding.replace('iso8859-1', 'latin1')}.csv").read_bytes()
    with pytest.raises(TableError, match="not in UTF-8"):
        read_book(raw)
    assert read_book(raw, Answers(encoding=encoding)).products["CUP"].name == description


def test_an_invoice_scattered_over_the_file_is_one_order() -> None:
    other = LINE.replace("A1", "A2")
    read = read_book((HEADER + LINE + other + LINE.replace("MUG", "TRAY")).encode())
    assert [(invoice.number, len(invoice.items)) for invoice in read.invoices] == [("A1", 2), ("A2", 1)]


def test_an_invoice_of_more_lines_than_an_order_may_have_becomes_several_orders() -> None:
    read = read_book((HEADER + LINE * 5).encode(), most_lines=2)
    assert [(invoice.number, len(invoice.items)) for invoice in read.invoices] == [
        ("A1", 2),
        ("A1 (2)", 2),
        ("A1 (3)", 1),
    ]


def test_a_credit_note_may_tell_the_price_of_a_product() -> None:
    credit = "C9,MUG,Stone mug,-1,2026-01-04 09:00:00,8.00,501,Norway\n"
    assert read_book((HEADER + credit + LINE).encode()).products["MUG"].price == Decimal("8.00")


@pytest.mark.parametrize(
    ("raw", "missing"),
    [
        (b"InvoiceNo,Quantity,UnitPrice\n1,2,3\n", "column StockCode"),
        (b"a text about something else\n", "columns InvoiceNo, StockCode, Quantity, UnitPrice"),
        (b'"', "columns InvoiceNo, StockCode, Quantity, UnitPrice"),
    ],
)
def test_a_file_that_is_no_order_book_says_what_is_missing(raw: bytes, missing: str) -> None:
    with pytest.raises(NoOrderBook) as said:
        read_book(raw)
    assert str(said.value).startswith(f"no order book: no line names the {missing}. --map ")
    assert "--format NAME" in str(said.value)


def test_a_title_above_the_header_is_dropped() -> None:
    read = read_book(("Sales of January\n\n" + HEADER + LINE).encode())
    assert dropped(read) == {1: "above the header"}
    assert lines(read) == [("A1", "MUG", 2)]


_cells = st.one_of(
    st.sampled_from(
        [
            "A1",
            "C1",
            "MUG",
            "POST",
            "damaged",
            "1",
            "-1",
            "0",
            "1e9",
            "٣",
            "NaN",
            "Infinity",
            "1,5",
            '"',
            '""',
            "",
            "NA",
        ]
    ),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
_rows = st.lists(st.lists(_cells, max_size=10).map(",".join), max_size=12).map(lambda rows: HEADER + "\n".join(rows))


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda raw: HEADER.encode() + raw)))
@settings(deadline=None)
def test_no_bytes_stop_the_reading(raw: bytes) -> None:
    with suppress(TableError):
        read_book(raw)


@given(_rows, st.sampled_from(["utf-8", "utf-16", "utf-16-le"]))
@settings(deadline=None)
def test_every_line_is_either_sent_or_dropped(text: str, encoding: str) -> None:
    raw = text.encode(encoding, errors="replace")
    try:
        read = read_book(raw, Answers(decimal="point", rules="uci", keep_repeats=True))
    except TableError:
        return
    assert len(lines(read)) + len({each.number for each in read.rejects}) == read.lines
    for invoice in read.invoices:
        assert invoice.items
        for item in invoice.items:
            assert 1 <= item.quantity <= 100_000
            assert read.products[item.sku].price >= Decimal("0.01")
