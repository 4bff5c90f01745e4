"""A table is read the same in whatever dialect and kind of file it comes."""

import csv
import io
import random
import zipfile
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conveyor.tables.cells import Fault, NoCode, code_of
from conveyor.tables.errors import NoHeader, TableError, Uncertain, Unreadable
from conveyor.tables.table import Asked, Table, opened_table, table_in
from tests.unit.conveyor.workbooks import Padded

TITLES = ("number", "sku", "name", "quantity")
ROWS = [
    ("1", "A", 'Cup, "blue"', "2"),
    ("1", "B", "Saucer\nof two lines", "1"),
    ("2", "C|D;E", "Pot\tor pan", "10"),
]


def is_header(titles) -> bool:
    return {"number", "sku"} <= {title.strip().lower() for title in titles}


def table(text: str | bytes) -> Table:
    return table_in(io.BytesIO(text.encode() if isinstance(text, str) else text), is_header)


def cells(of: Table) -> list[tuple[object, ...]]:
    return [row.cells for row in of.rows()]


def written(rows, separator: str = ",", end: str = "\n", above: str = "", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([TITLES, *rows])
    return (above + text.getvalue()).replace("\n", end).encode(encoding)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_any_separator_line_end_and_encoding_reads_the_same(separator: str, end: str, encoding: str) -> None:
    assert cells(table(written(ROWS, separator, end, encoding=encoding))) == ROWS


@pytest.mark.parametrize(
    "above", ["sep=;\n", '"sep=;"\n', "Orders of March, all shops\n\n", "a;b;c;d;e\nf\n", 'The 5" list\n']
)
def test_what_stands_above_the_header_breaks_no_record_of_two_lines(above: str) -> None:
    read = table(written(ROWS, ";", above=above))
    assert cells(read) == ROWS
    assert read.header.number == above.count("\n") + 1
    assert f"{len(read.above)} line" in read.said[2]


def test_a_sep_line_decides_the_separator_and_that_is_said() -> None:
    read = table(written(ROWS, "^", above="sep=^\n"))
    assert cells(read) == ROWS
    assert "separated by '^', as its sep= line says" in read.said


def test_single_quotes_are_quotes_where_the_header_has_them() -> None:
    assert cells(table("'number','sku','name'\n'1','A','Cup, blue'\n")) == [("1", "A", "Cup, blue")]


def test_a_header_of_two_lines_is_a_header() -> None:
    read = table('number,sku,"name\nof it"\n1,A,Cup\n')
    assert (read.header.cells, cells(read)) == (("number", "sku", "name\nof it"), [("1", "A", "Cup")])


def test_a_stray_quote_swallows_no_line() -> None:
    assert cells(table('number,sku,name\n1,A,"Cup\n1,B,Pot\n1,C,Lid"\n'))[1:] == [("1", "B", "Pot"), ("1", "C", 'Lid"')]


def test_quotes_that_a_database_has_escaped_are_quotes() -> None:
    assert cells(table('number,sku,name\n1,A,"12\\" ruler, long"\n1,B,Pot\n')) == [
        ("1", "A", '12" ruler, long'),
        ("1", "B", "Pot"),
    ]


def test_lines_that_are_quoted_as_a_whole_are_lines() -> None:
    plain = 'number,sku,name\n1,A,"Cup, blue"\n2,B,Pot\n'
    quoted = "".join('"' + line.replace('"', '""') + '",,\n' for line in plain.splitlines())
    read = table(quoted)
    assert cells(read) == cells(table(plain))
    assert "each line in quotes of its own" in read.said[1]


def test_a_table_that_is_another_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(NoHeader, match=r"other.csv is a text, and no line of it"), opened_table(file, is_header):
        pass


WORKBOOK = [
    ("Orders of March",),
    (*TITLES, "price", "when", "gtin"),
    (1001, "A", "Cup", 2, 4.5, datetime(2026, 3, 2, 10), 4006381333931),
    (None, "00123", "Saucer", "1", "3,50", datetime(2026, 3, 2), None),
    (1002, "#N/A", "Pot", "=D3*2", 14, "02.03.2026", 8012345678901234),
    (),
    (1003, "C", "Lid", 1),
]
READ = [
    (Decimal(1001), "A", "Cup", Decimal(2), Decimal("4.5"), datetime(2026, 3, 2, 10), Decimal(4006381333931)),
    ("", "00123", "Saucer", "1", "3,50", datetime(2026, 3, 2), ""),
    (Decimal(1002), Fault("#N/A"), "Pot", Fault("a formula"), Decimal(14), "02.03.2026", Decimal(8012345678901234)),
    (Decimal(1003), "C", "Lid", Decimal(1), "", "", ""),
]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_workbook_keeps_numbers_texts_moments_and_faults_apart(kind: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(kind)({"Notes": [("nothing",)], "Orders": WORKBOOK})
    with opened_table(file, is_header) as read:
        assert cells(read) == READ
        assert [row.number for row in read.rows()] == [3, 4, 5, 7]
        assert read.said == (
            f"workbook ({kind})",
            "sheet 'Orders', the only one of 2 with such columns",
            "header in line 2, 1 line above it left out",
        )


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_code_that_is_shown_with_zeros_in_front_has_them(kind: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(kind)({"Orders": [TITLES, (Padded(123, 6), Padded(42, 5), "Cup", 2)]})
    with opened_table(file, is_header) as read:
        assert cells(read) == [("000123", "00042", "Cup", Decimal(2))]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_several_such_sheets_are_asked_for(kind: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(kind)({"May": WORKBOOK, "June": [TITLES, (7, "Z", "Jug", 1)]})
    with (
        pytest.raises(Uncertain, match=r"several such sheets: May, June\. Say --sheet NAME"),
        opened_table(file, is_header),
    ):
        pass
    with opened_table(file, is_header, Asked(sheet="June")) as read:
        assert cells(read) == [(Decimal(7), "Z", "Jug", Decimal(1))]
    with (
        pytest.raises(Unreadable, match="without a sheet 'July'; it has May, June"),
        opened_table(file, is_header, Asked(sheet="July")),
    ):
        pass


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_a_damaged_workbook_is_said_in_a_line(kind: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(kind)({"Orders": WORKBOOK})
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(Unreadable, match="is a damaged workbook"), opened_table(file, is_header):
        pass


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@pytest.mark.parametrize("seed", range(25))
def test_a_workbook_that_is_damaged_anywhere_is_a_table_or_an_error_in_a_line(kind: str, seed: int, request) -> None:
    file = request.getfixturevalue(kind)({"Orders": WORKBOOK})
    chance, written = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(written, "w") as damaged:
        for name in whole.namelist():
            content = bytearray(whole.read(name))
            if name.endswith("xml"):
                at = chance.randrange(len(content))
                content[at : at + chance.randrange(3)] = bytes([chance.randrange(256)])
            damaged.writestr(name, bytes(content))
    raw = bytearray(written.getvalue())
    if seed % 2:
        raw[chance.randrange(len(raw))] ^= 0x55
    with suppress(TableError):
        cells(table(bytes(raw)))


def test_an_identifier_is_what_was_meant_or_is_refused() -> None:
    assert [code_of(each) for each in (Decimal(4006381333931), "17850.0", "00123", "1E5", "SKU-1+2")] == [
        *("4006381333931", "17850", "00123", "1E5", "SKU-1+2")
    ]
    assert code_of("cafe\u0301") == "caf\u00e9"
    for cell, why in (
        ("8.01235E+15", "scientific"),
        ("8,01235e+15", "scientific"),
        ("4E+12", "scientific"),
        (Decimal(8012345678901230), "rounded"),
        (Fault("#N/A"), "#N/A"),
        ("#REF!", "error"),
        ("MUG\u00ad-1", r"U\+00AD SOFT HYPHEN"),
        ("MUG\u200b", r"U\+200B"),
        ("MUG\n2", "cannot be seen"),
        (datetime(2026, 3, 1), "a date"),
    ):
        with pytest.raises(NoCode, match=why):
            code_of(cell)


#: A text may go on in a second line; one that is a record by itself ends it, that is how a stray quote is borne.
_texts = st.tuples(
    st.text(st.sampled_from("ab1,;|\t\"' \u00e9="), max_size=8), st.sampled_from(["", "", "\nab", "\n\nb"])
).map("".join)


@given(
    st.lists(st.tuples(st.sampled_from("12"), _texts, _texts, st.sampled_from("12")), max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "sep={}\n", "A title\n\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_in_any_dialect_is_read_back(rows, separator, end, above, encoding) -> None:
    assert cells(table(written(rows, separator, end, above.format(separator), encoding))) == rows
