"""`conveyor logs`: many files, one stream."""

from pathlib import Path
from typing import Any

import pytest

from conveyor.logs import NoLogs, last_lines, new_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "sales.log").write_text('{"at": "2026-11-22T10:00:01.5Z"}\nTraceback\n{"at": "2026-11-22T10:00:04Z"}\n')
    (folder / "worker-sales.log").write_text("2026-11-22 10:00:00,9 first\n2026-11-22 10:00:02,1 third\n")
    return folder


def test_lines_come_in_the_order_of_their_times(folder: Path) -> None:
    found = [line[-10:] for _, line in last_lines(sorted(folder.iterdir()), 10)]
    assert found == ["0:00,9 first"[-10:], ':00:01.5Z"}'[-10:], "Traceback", "0:02,1 third"[-10:], '10:00:04Z"}'[-10:]]


def test_of_each_log_only_the_last_lines_are_shown(folder: Path, conveyor: Any) -> None:
    result = conveyor("logs", "-n", "1")
    assert result.output.splitlines() == [
        "worker-sales | 2026-11-22 10:00:02,1 third",
        'sales        | {"at": "2026-11-22T10:00:04Z"}',
    ]


def test_a_name_stands_for_every_log_that_begins_with_it(folder: Path, conveyor: Any) -> None:
    (folder / "worker-delivery.log").write_text("2026-11-22 10:00:03 x\n")
    names = {line.split(" ")[0] for line in conveyor("logs", "worker").output.splitlines()}
    assert names == {"worker-sales", "worker-delivery"}


@pytest.mark.parametrize("names", [("nobody",), ("sales", "nobody")])
def test_a_name_without_a_log_is_refused_naming_those_that_there_are(
    folder: Path, conveyor: Any, names: tuple[str, ...]
) -> None:
    result = conveyor("logs", *names)
    assert isinstance(result.exception, NoLogs)
    assert "no log nobody: sales, worker-sales" in str(result.exception)


def test_where_nothing_has_run_that_is_said(conveyor: Any) -> None:
    assert "conveyor run" in str(conveyor("logs").exception)


def test_following_gives_whole_lines_of_every_log_and_outlives_a_new_file(folder: Path) -> None:
    sales, worker = sorted(folder.iterdir())
    lines = new_lines({file: file.stat().st_size for file in (sales, worker)})
    with sales.open("a") as log:
        log.write("one\nhalf a ")
    assert next(lines) == ("sales", "one")
    with sales.open("a") as log:
        log.write("line\n")
    worker.write_text("anew\n")
    assert {next(lines), next(lines)} == {("sales", "half a line"), ("worker-sales", "anew")}


def test_what_strangers_wrote_into_a_log_begins_no_line_and_moves_no_cursor(folder: Path, conveyor: Any) -> None:
    forged = "2026-11-22 10:00:09 name=\x1b[2JAda\u2028sales | forged\x85\u202e, \x1b[31mred\x1b[0m\r\n"
    (folder / "flower.log").write_bytes(forged.encode())
    assert conveyor("logs", "flower").output == (
        r"flower | 2026-11-22 10:00:09 name=\x1b[2JAda\u2028sales | forged\x85\u202e, red" + "\n"
    )


def test_a_log_without_a_line_shows_none(folder: Path, conveyor: Any) -> None:
    (folder / "flower.log").write_text("")
    (folder / "flower-2.log").write_text("first\n\nlast\n")
    assert conveyor("logs", "flower").output.splitlines() == ["flower-2 | first", "flower-2 | ", "flower-2 | last"]


def test_of_a_log_that_was_moved_away_the_old_lines_are_shown(folder: Path, conveyor: Any) -> None:
    (folder / "sales.log").rename(folder / "sales.log.1")
    (folder / "worker-sales.log").rename(folder / "worker-sales.log.1")
    (folder / "worker-sales.log").write_text("2026-11-22 10:00:05,0 fourth\n")
    assert conveyor("logs", "worker", "-n", "2").output.splitlines() == [
        "worker-sales | 2026-11-22 10:00:02,1 third",
        "worker-sales | 2026-11-22 10:00:05,0 fourth",
    ]
    assert "10:00:04Z" in conveyor("logs", "sales").output
