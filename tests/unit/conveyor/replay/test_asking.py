"""What `conveyor replay` says before it sends, and what it asks instead of sending."""

from pathlib import Path

import pytest

from conveyor.tables.errors import Uncertain

TITLES = "InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID;Country\n"
CERTAIN = TITLES + "E-1;OAR;Oar;2,000;04.05.2026 10:00;19,90;1;Norway\n;ROPE;Rope;1,000;;0,75;;\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


def test_a_dry_run_says_what_is_decided_and_sends_and_writes_nothing(gateway, run, file: Path) -> None:
    file.write_text(CERTAIN + "E-2;OAR;Oar;two;04.05.2026 10:00;19,90;1;Norway\n")
    result = run(file, "--dry-run")
    assert result.exit_code == 0, result.output
    for said in (
        "text in utf-8, separated by semicolons, header in line 1",
        "uci, the columns of the UCI Online Retail set (by its columns)",
        "decimal comma (19,90 in line 2)",
        "day first (04.05.2026 10:00 in line 2)",
        "none: E-1 is no order number of the UCI set",
        "1 without an order number belong to the order above them",
        "1  the quantity is no number",
        "1 order, 3 units of 2 products; run orders.csv sends 1",
        "order E-1: 2 x OAR at 19.90, 1 x ROPE at 0.75",
    ):
        assert said in result.output
    assert gateway.requests == []
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_dry_run_lists_what_is_dropped_where_it_is_told(run, file: Path, tmp_path: Path) -> None:
    file.write_text(TITLES + "E-2;OAR;Oar;two;04.05.2026;19,90;1;Norway\n")
    result = run(file, "--dry-run", "--rejects", tmp_path / "listed.csv")
    assert result.exit_code == 1
    assert "the quantity is no number" in (tmp_path / "listed.csv").read_text()


def test_the_same_is_said_before_the_first_order_is_sent(gateway, run, file: Path) -> None:
    file.write_text(CERTAIN)
    result = run(file)
    assert result.exit_code == 0, result.output
    assert result.output.index("decimal comma") < result.output.index("sent  ")
    assert [[item["quantity"] for item in order["items"]] for order in gateway.orders.values()] == [[2, 1]]


@pytest.mark.parametrize(
    ("content", "asked", "answer"),
    [
        (TITLES.encode() + b"E-1;OAR;\xc5re;1;04.05.2026;19,90;1;Norge\n", "--encoding NAME", ("--encoding", "cp1252")),
        (TITLES.encode() + b"E-1;OAR;Oar;2,000;;19,900;1;Norway\n", "--decimal comma", ("--decimal", "comma")),
        (
            TITLES.replace("StockCode", "Code").encode() + b"E-1;OAR;Oar;1;;19,90;1;N\n",
            "--map StockCode=",
            ("--map", "StockCode=code"),
        ),
        (
            TITLES.encode() + b"E-1;OAR;;1;1/2/26 23:50;9,90;1;N\nE-1;ROPE;;1;2/2/26 0:10;9,90;1;N\n",
            "--dates dmy",
            ("--dates", "dmy"),
        ),
        (
            TITLES.strip().encode() + b";Quantity\nE-1;OAR;Oar;1;;19,90;1;N;7\n",
            "--map Quantity=#",
            ("--map", "quantity=#4"),
        ),
    ],
    ids=["encoding", "decimal", "columns", "dates", "twice"],
)
def test_what_is_not_certain_sends_nothing_until_it_is_said(gateway, run, file: Path, content, asked, answer) -> None:
    file.write_bytes(content)
    result = run(file)
    assert result.exit_code == 1
    assert asked in str(result.exception)
    assert "\n" not in str(result.exception)
    assert gateway.requests == []
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    answered = run(file, *answer)
    assert answered.exit_code == 0, answered.output
    assert len(gateway.orders) == 1


def test_readings_in_likely_encodings_are_shown_before_the_question(run, file: Path) -> None:
    file.write_bytes(TITLES.encode() + "E-1;OAR;Åre;1;04.05.2026;19,90;1;Norge\n".encode("cp1252"))
    result = run(file)
    assert isinstance(result.exception, Uncertain)
    assert "--encoding cp1252     line 2: E-1;OAR;Åre;" in result.output


@pytest.mark.parametrize(
    "wrong",
    [("--map", "Colour=x"), ("--map", "StockCode"), ("--encoding", "base64"), ("--decimal", "dot"), ("--format", "x")],
)
def test_an_answer_that_is_none_is_a_wrong_command_line(gateway, run, file: Path, wrong: tuple[str, str]) -> None:
    file.write_text(CERTAIN)
    assert run(file, *wrong).exit_code == 2
    assert gateway.requests == []
