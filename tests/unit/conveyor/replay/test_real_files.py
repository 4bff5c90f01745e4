"""Order books as real shops have them, each with the right answer: what is sent, what is asked, what is refused."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.lookalikes import alike_before
from conveyor.replay.answers import Answers
from conveyor.replay.book import Book
from conveyor.replay.opened import book_in, read_book
from conveyor.tables.errors import Uncertain

TITLES = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
HEADER = ",".join(TITLES) + "\n"


def book(text: str, **answers: object) -> Book:
    return read_book(text.encode(), Answers(**answers))


def row(number: str, sku: str = "MUG", quantity: str = "1", **more: str) -> str:
    cells = {"date": "2026-05-04 11:00:00", "price": "7.50", "customer": "501", "country": "Norway", **more}
    return (
        f"{number},{sku},Stone mug,{quantity},{cells['date']},{cells['price']},{cells['customer']},{cells['country']}\n"
    )


def lines(of: Book) -> list[tuple[str, str, int]]:
    return [(invoice.number, item.sku, item.quantity) for invoice in of.invoices for item in invoice.items]


def reasons(of: Book) -> list[tuple[int, str]]:
    return [(reject.number, reject.reason) for reject in of.rejects]


def said(text: str, **answers: object) -> dict[str, str]:
    with book_in(io.BytesIO(text.encode()), Answers(**answers)) as read:
        return dict(read.said)


class TestRules:
    SHOP = (
        HEADER
        + "F-1,BLU-1,Lost,1,2026-05-04 11:00:00,9.00,501,Norway\n"
        + "F-2,BLU-2,Check,1,2026-05-04 11:00:00,9.00,502,Norway\n"
        + "F-3,S,Vest small,1,2026-05-04 11:00:00,9.00,503,Norway\n"
        + "F-4,M,Vest medium,1,2026-05-04 11:00:00,9.00,504,Norway\n"
        + "F-5,D,Dominoes,1,2026-05-04 11:00:00,9.00,505,Norway\n"
        + "CO-77,BLU-3,Damages,1,2026-05-04 11:00:00,9.00,506,Norway\n"
        + "C123,BLU-4,Wrongly accused,2,2026-05-04 11:00:00,9.00,507,Norway\n"
    )

    def test_nothing_is_dropped_for_words_or_letters_alone(self) -> None:
        read = book(self.SHOP)
        assert not read.rejects
        assert [invoice.number for invoice in read.invoices] == ["F-1", "F-2", "F-3", "F-4", "F-5", "CO-77", "C123"]
        assert said(self.SHOP)["rules"].startswith("none: F-1 is no order number of the UCI set")

    def test_the_uci_set_is_recognised_by_its_numbers_and_has_its_rules(self) -> None:
        text = HEADER + row("510001") + row("510002", "POST") + row("C510003", quantity="-1") + row("510004", "M")
        assert lines(book(text)) == [("510001", "MUG", 1)]
        assert said(text)["rules"].startswith("uci: every order number is six digits")
        assert lines(book(text, rules="none")) == [("510001", "MUG", 1), ("510002", "POST", 1), ("510004", "M", 1)]

    def test_one_other_number_makes_it_another_shops_book(self) -> None:
        text = HEADER + row("510001", "POST") + row("51-2")
        assert lines(book(text)) == [("510001", "POST", 1), ("51-2", "MUG", 1)]
        assert lines(book(text, rules="uci")) == [("51-2", "MUG", 1)]

    def test_a_note_is_one_only_without_a_price(self) -> None:
        text = HEADER + "510001,A,damaged,1,,9.00,1,\n510002,A,damaged,1,,0,1,\n"
        assert reasons(book(text)) == [(3, "a note without a price (rules uci): 'damaged'")]


class TestRepeats:
    ONCE = row("7001", "MUG") + row("7001", "TRAY", "2") + row("7002", "MUG", "3", customer="502")
    TWICE = HEADER + ONCE + row("7003") + ONCE

    def test_a_block_that_stands_there_again_is_told_and_not_summed(self) -> None:
        read = book(self.TWICE)
        assert lines(read) == lines(book(HEADER + self.ONCE + row("7003")))
        assert reasons(read) == [
            (6, "a repeat: the lines from line 2 on again"),
            (7, "a repeat: the lines from line 2 on again"),
            (8, "a repeat: the lines from line 4 on again"),
        ]
        assert said(self.TWICE)["repeats"] == (
            "2 orders exactly as before at another place (7001, 7002): 3 lines not sent again "
            "(--repeats keep adds them up)"
        )

    def test_keep_adds_them_up_and_says_so(self) -> None:
        assert book(self.TWICE, keep_repeats=True).products["MUG"].demand == 9
        assert said(self.TWICE, keep_repeats=True)["repeats"].endswith("added up, as --repeats keep says")

    def test_the_same_line_twice_in_a_block_is_two_lines(self) -> None:
        text = HEADER + row("7001") * 2 + row("7002")
        assert lines(book(text)) == [("7001", "MUG", 1), ("7001", "MUG", 1), ("7002", "MUG", 1)]
        assert "repeats" not in said(text)

    def test_an_order_whose_lines_stand_there_twice_behind_one_another_is_not_sent(self) -> None:
        text = HEADER + (row("7001", "MUG") + row("7001", "TRAY")) * 2 + row("7002")
        assert lines(book(text)) == [("7002", "MUG", 1)]
        assert {why for _, why in reasons(book(text))} == {
            "order refused, its lines stand there twice, one set behind the other: --repeats keep adds them up"
        }
        assert len(lines(book(text, keep_repeats=True))) == 5

    def test_blocks_apart_are_one_order(self) -> None:
        text = (
            HEADER + row("7001", "MUG") + row("7002", customer="502") + row("7001", "TRAY", date="2026-05-04 11:59:59")
        )
        assert lines(book(text)) == [("7001", "MUG", 1), ("7001", "TRAY", 1), ("7002", "MUG", 1)]

    def test_blocks_that_share_a_line_are_no_order_to_send_a_part_of(self) -> None:
        text = HEADER + row("7001", "MUG") + row("7002", customer="502") + row("7001", "MUG") + row("7001", "TRAY")
        assert lines(book(text)) == [("7002", "MUG", 1)]
        assert reasons(book(text))[0][1].startswith("order refused, some of its lines stand at two places")
        assert len(lines(book(text, keep_repeats=True))) == 4

    def test_two_sheets_joined_with_their_headers_are_one_book(self) -> None:
        read = book(HEADER + self.ONCE + HEADER + self.ONCE + row("7009"))
        assert [number for number, _, _ in lines(read)] == ["7001", "7001", "7002", "7009"]
        assert reasons(read)[0] == (5, "the header once more")

    def test_behind_a_header_once_more_a_row_without_a_number_is_of_no_order(self) -> None:
        read = book(HEADER + row("7001") + HEADER + ",TRAY,,2,,3.00,,\n" + row("7002"))
        assert lines(read) == [("7001", "MUG", 1), ("7002", "MUG", 1)]
        assert reasons(read)[1] == (4, "no order number: no order above")


class TestNumbers:
    def semicolons(self, *rows: str) -> str:
        return "\n".join([";".join(TITLES), *rows]) + "\n"

    def test_a_quantity_of_three_decimals_is_no_thousand(self) -> None:
        read = book(self.semicolons("H1;K-1;Tau;3,000;02.03.2026;17,500;1;D", "H1;K-2;Öse;1,000;02.03.2026;2,80;1;D"))
        assert lines(read) == [("H1", "K-1", 3), ("H1", "K-2", 1)]
        assert [str(each.price) for each in read.products.values()] == ["17.50", "2.80"]

    def test_a_thousand_with_a_point_is_one(self) -> None:
        read = book(self.semicolons("H1;K-1;Tau;1.000;02.03.2026;0,15;1;D", "H2;K-2;Öse;3.500;02.03.2026;1.450,00;2;D"))
        assert lines(read) == [("H1", "K-1", 1000), ("H2", "K-2", 3500)]
        assert read.products["K-2"].price == Decimal("1450.00")

    @pytest.mark.parametrize("price", ["1 450,00", "1\u00a0450,00", "1'450,00", "€ 1.450,00", "1450,00 EUR"])
    def test_other_thousands_and_currencies(self, price: str) -> None:
        read = book(self.semicolons(f"H1;K-1;Tau;2;02.03.2026;{price};1;D"))
        assert read.products["K-1"].price == Decimal("1450.00")

    def test_a_format_that_nothing_tells_sends_nothing_until_it_is_said(self) -> None:
        text = self.semicolons("H1;K-1;Tau;2,000;02.03.2026;12,500;1;D")
        with pytest.raises(Uncertain, match="Say --decimal point or --decimal comma"):
            book(text)
        assert lines(book(text, decimal="comma")) == [("H1", "K-1", 2)]
        assert lines(book(text, decimal="point")) == [("H1", "K-1", 2000)]
        assert said(text, decimal="comma")["numbers"] == "decimal comma, as --decimal says"

    def test_two_formats_in_one_file_are_asked_for(self) -> None:
        with pytest.raises(Uncertain, match=r"not certain in its numbers: 2\.55 in line 3 and 3,90 in line 2"):
            book(self.semicolons("H1;K-1;Tau;2;02.03.2026;3,90;1;D", "H2;K-1;Tau;2;02.03.2026;2.55;1;D"))

    def test_several_currencies_are_refused(self) -> None:
        with pytest.raises(Uncertain, match=r"several currencies \(EUR, GBP\)"):
            book(HEADER + row("1", price="£2.50") + row("2", price="€2.50"))
        assert said(HEADER + row("1", price="£2.50"))["currency"].startswith("prices are in GBP")

    def test_a_quantity_with_a_zero_behind_the_point_is_whole(self) -> None:
        assert lines(book(HEADER + row("1", quantity="2.0"))) == [("1", "MUG", 2)]


class TestFollowers:
    def test_rows_without_a_number_belong_to_the_order_above(self) -> None:
        text = HEADER + row("8001") + ",TRAY,,2,,3.00,,\n,BOWL,,1,,2.00,,\n" + row("8002") + ",LID,,1,,5.00,,\n"
        read = book(text)
        assert lines(read) == [
            ("8001", "MUG", 1),
            ("8001", "TRAY", 2),
            ("8001", "BOWL", 1),
            ("8002", "MUG", 1),
            ("8002", "LID", 1),
        ]
        assert said(text)["follow-ups"] == "3 without an order number belong to the order above them"

    def test_one_that_is_dropped_is_listed_with_its_order_number_and_customer(self) -> None:
        read = book(HEADER + row("8001") + ',TRAY,"Tray, birch",none,,3.00,,\n')
        assert [reject.text for reject in read.rejects] == [
            '8001,TRAY,"Tray, birch",none,2026-05-04 11:00:00,3.00,501,Norway'
        ]

    def test_of_another_customer_they_make_the_order_uncertain_and_none_of_it_is_sent(self) -> None:
        read = book(HEADER + row("8001") + ",TRAY,,2,,3.00,777,\n" + row("8002"))
        assert lines(read) == [("8002", "MUG", 1)]
        assert {why for _, why in reasons(read)} == {"order refused, 2 customers under one number"}

    def test_behind_a_broken_row_neither_they_nor_the_order_above_are_sent(self) -> None:
        read = book(HEADER + row("8001") + "8002,BOWL\n,TRAY,,2,,3.00,,\n" + row("8003"))
        assert lines(read) == [("8003", "MUG", 1)]
        assert [number for number, _ in reasons(read)] == [2, 3, 4]

    def test_behind_a_number_that_is_none_they_are_not_sent(self) -> None:
        read = book(HEADER + row("8001") + row("8.01235E+15") + ",TRAY,,2,,3.00,,\n")
        assert lines(read) == [("8001", "MUG", 1)]
        assert reasons(read)[1] == (4, "no order number: that of the row above is none to go by")

    def test_at_the_top_they_are_of_no_order(self) -> None:
        assert reasons(book(HEADER + row("") + row("8001"))) == [(2, "no order number: no order above")]

    @pytest.mark.parametrize(
        "total", [",,,6,,21.00,,", ",,Total,6,,21.00,,", ",Sum,,6,,21.00,,", "Total,,,6,,21.00,,", ",,,,,,,"]
    )
    def test_a_row_of_totals_is_no_line(self, total: str) -> None:
        read = book(HEADER + row("8001", quantity="2") + row("8002", "TRAY", "4") + total + "\n")
        assert lines(read) == [("8001", "MUG", 2), ("8002", "TRAY", 4)]
        assert len(read.rejects) == 1

    def test_a_row_that_happens_to_be_the_sum_so_far_is_a_line(self) -> None:
        titles = "Name,Lineitem name,Lineitem quantity,Lineitem price,Lineitem sku\n"
        read = book(titles + "#1,Cup,1,2.00,\n,Pot,1,3.00,\n,Lid,2,1.00,\n#2,Jug,1,9.00,\n")
        assert len(lines(read)) == 4


class TestNumbersOfOrders:
    def test_customers_that_share_a_number_are_never_one_order(self) -> None:
        read = book(HEADER + row("9001", customer="1") + row("9001", customer="2") + row("9002"))
        assert lines(read) == [("9002", "MUG", 1)]
        assert reasons(read) == [
            (2, "order refused, 2 customers under one number"),
            (3, "order refused, 2 customers under one number"),
        ]

    @pytest.mark.parametrize("number", ["8.01235E+15", "8,01235E+15", "8E+15", "8.01235e+15"])
    def test_a_number_in_scientific_notation_is_refused(self, number: str) -> None:
        text = ";".join(TITLES) + f"\n{number};MUG;;1;;5;1;\n{number};MUG;;1;;5;1;\n77;MUG;;1;;5;1;\n"
        read = book(text)
        assert lines(read) == [("77", "MUG", 1)]
        assert all("scientific notation" in why for _, why in reasons(read))

    def test_a_stock_code_or_a_customer_in_scientific_notation_is_refused_too(self) -> None:
        read = book(HEADER + row("1", "4.00638E+12") + row("2", customer="1.7E+10") + row("2", "TRAY") + row("3"))
        assert lines(read) == [("3", "MUG", 1)]

    @pytest.mark.parametrize(("later", "orders"), [("11:59:59", 1), ("12:00:00", 0), ("23:00:00", 0)])
    def test_less_than_an_hour_apart_is_one_order_and_more_is_refused(self, later: str, orders: int) -> None:
        read = book(HEADER + row("9001") + row("9001", "TRAY", date=f"2026-05-04 {later}"))
        assert len(read.invoices) == orders
        assert orders or {why for _, why in reasons(read)} == {"order refused, its lines are an hour or more apart"}

    def test_leading_zeros_are_kept_and_said(self) -> None:
        text = HEADER + row("007") + row("7")
        assert [invoice.number for invoice in book(text).invoices] == ["007", "7"]
        assert said(text)["numbers alike"] == "007 and 7 differ by leading zeros only, and are different orders"

    def test_e_mail_addresses_in_other_case_are_one_customer(self) -> None:
        read = book(HEADER + row("1", customer="Ada@example.com") + row("1", "TRAY", customer="ada@example.com"))
        assert len(lines(read)) == 2


class TestDates:
    def test_an_order_of_day_and_month_that_changes_no_order_is_said(self) -> None:
        text = HEADER + row("1", date="3/2/2026") + row("2", date="4/2/2026")
        assert len(book(text).invoices) == 2
        assert "cannot be told apart (3/2/2026 in line 2); no order depends on it" in said(text)["dates"]

    def test_one_that_does_sends_nothing_until_it_is_said(self) -> None:
        text = HEADER + row("1", date="1/2/2026 23:50") + row("1", "TRAY", date="2/2/2026 00:10")
        with pytest.raises(Uncertain, match="Say --dates dmy or --dates mdy"):
            book(text)
        assert len(book(text, dates="dmy").invoices) == 1
        assert len(book(text, dates="mdy").invoices) == 0

    def test_days_since_1900_are_dates(self) -> None:
        read = book(HEADER + row("1", date="46083.5"))
        assert str(read.invoices[0].date) == "2026-03-02 12:00:00"


class TestColumns:
    def test_titles_in_other_case_and_with_blanks_are_the_same_columns(self) -> None:
        text = " invoice no , STOCK_CODE,quantity,Unit Price\n1,MUG,2,3.00\n"
        assert lines(book(text)) == [("1", "MUG", 2)]

    def test_empty_columns_at_the_end_of_header_or_rows_are_none(self) -> None:
        assert lines(book("InvoiceNo,StockCode,Quantity,UnitPrice,,\n1,MUG,2,3.00\n")) == [("1", "MUG", 2)]
        assert lines(book("InvoiceNo,StockCode,Quantity,UnitPrice\n1,MUG,2,3.00,,\n")) == [("1", "MUG", 2)]

    def test_a_column_that_is_there_twice_is_asked_for(self) -> None:
        text = "InvoiceNo,StockCode,Quantity,UnitPrice,Quantity\n1,MUG,2,3.00,9\n"
        with pytest.raises(Uncertain, match=r"columns 3, 5 are all called Quantity. Say --map Quantity=#NUMBER"):
            book(text)
        assert lines(book(text, mapped={"Quantity": ("#5",)})) == [("1", "MUG", 9)]

    def test_other_titles_are_mapped_and_a_second_one_stands_in_for_a_missing_code(self) -> None:
        text = "order,article,title,pieces,each\n1,,Blue cup,2,3.00\n1,P-9,Pot,1,4.00\n"
        mapped = {
            "InvoiceNo": ("order",),
            "StockCode": ("article", "title"),
            "Quantity": ("pieces",),
            "UnitPrice": ("each",),
            "Description": ("title",),
        }
        assert lines(book(text, mapped=mapped)) == [("1", "Blue cup", 2), ("1", "P-9", 1)]
        assert said(text, mapped=mapped)["no SKU"] == "1 are known by their title instead"

    def test_a_key_that_is_too_long_for_a_code_is_shortened_and_stays_its_own(self) -> None:
        names = ["x" * 80, "x" * 79 + "y"]
        text = "".join(f"#1,{name},1,5.00,\n" for name in names)
        read = book("Name,Lineitem name,Lineitem quantity,Lineitem price,Lineitem sku\n" + text)
        assert len(read.products) == 2
        assert all(len(sku) <= 64 for sku in read.products)


def test_stock_codes_that_look_alike_are_the_same_whether_all_are_compared_or_those_that_may() -> None:
    skus = [
        "MUG",
        "mug",
        "Mug 2",
        "TRAY",
        "\u041cUG",
        "\uff34RAY",
        "\u0442ray",
        "CAP-1",
        "CAP-l",
        "\u00e5re",
        "\u00c5RE",
    ]
    text = HEADER + "".join(row(f"L-{at}", sku) for at, sku in enumerate(skus))
    with book_in(io.BytesIO(text.encode())) as read:
        assert read.products.alike() == alike_before(read.products)
        assert len(read.products.alike()) == 5


def test_a_line_above_the_header_breaks_no_record_of_two_lines() -> None:
    text = "sep=,\n" + HEADER + '1,A,"Cup,\nblue",1,,4.00,1,\n1,B,Saucer,1,,3.00,1,\n2,C,"Pot\nof iron",1,,9.00,2,\n'
    assert lines(book(text)) == [("1", "A", 1), ("1", "B", 1), ("2", "C", 1)]
    assert "as its sep= line says" in said(text)["file"]


def test_a_book_in_an_old_encoding_is_asked_for_and_read_as_is_said() -> None:
    text = HEADER + "1,A,木の匙,1,,4.00,1,\n"
    with pytest.raises(Uncertain) as asked:
        read_book(text.encode("cp932"))
    assert any("--encoding cp932" in line and "木の匙" in line for line in asked.value.shown)
    assert read_book(text.encode("cp932"), Answers(encoding="cp932")).products["A"].name == "木の匙"


_ORDERS = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from(["MUG", "TRAY 2", "00123", "4006381333931"]),
        st.sampled_from(["Cup", "Crème; brûlée", 'The 5" one', "a|b\tc", "two\nlines"]),
        st.integers(1, 5_000),
        st.decimals("0.01", "9999.99", places=2),
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


def written(orders: Sequence[tuple], separator: str, decimal: str, thousands: str, end: str, encoding: str) -> bytes:
    def number(value: int | Decimal) -> str:
        return f"{value:,}".replace(",", "_").replace(".", decimal).replace("_", thousands)

    text = io.StringIO()
    table = csv.writer(text, delimiter=separator, lineterminator="\n")
    table.writerow(TITLES)
    for invoice, sku, name, quantity, price in sorted(orders, key=lambda each: each[0]):
        table.writerow([f"B-{invoice}", sku, name, number(quantity), "2026-05-04", number(price), invoice, "Malta"])
    return text.getvalue().replace("\n", end).encode(encoding)


@given(
    _ORDERS,
    st.sampled_from(",;\t|"),
    st.sampled_from([(".", ","), (".", ""), (".", "'"), (",", "."), (",", " "), (",", "\u00a0"), (",", "")]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
)
@settings(deadline=None)
def test_a_book_in_any_dialect_reads_the_same_as_in_the_plain_one(orders, separator, style, end, encoding) -> None:
    plain = read_book(written(orders, ",", ".", "", "\n", "utf-8"))
    other = read_book(written(orders, separator, *style, end, encoding))
    assert lines(other) == lines(plain)
    assert other.products == plain.products
    assert not other.rejects
