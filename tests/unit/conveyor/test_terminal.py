"""One place prints: a line for each thing that is said, in whatever encoding the terminal has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conveyor import cli, terminal
from conveyor.client import Refused

ROOT = Path(cli.__file__).parent
#: It speaks to the process that started it over pipes, and imports nothing but the standard library.
OVER_PIPES = {"bench/driver.py"}
WAYS_TO_PRINT = ("click.echo", "click.secho", "print(", "sys.stdout.write", "sys.stderr.write")
NASTY = "Zoë\x1b[2J\nOK: forged\u202e\ud800\x9b1m\u2028"
SHOWN = r"Zoë\x1b[2J\nOK: forged\u202e\ud800\x9b1m\u2028"


def said_by_a_process(code: str, **environment: str) -> bytes:
    """What a new Python that runs this code with this environment writes."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT.parent), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, timeout=30, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "C.UTF-8"}, SHOWN),
        ({"LANG": "C", "LC_ALL": "C"}, SHOWN),
        ({"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, SHOWN.replace("ë", r"\xeb")),
        ({"PYTHONIOENCODING": "ascii"}, SHOWN.replace("ë", r"\xeb")),
        ({"PYTHONIOENCODING": "utf-8:surrogateescape"}, SHOWN),
    ],
)
def test_a_line_stays_one_line_in_every_encoding(environment: dict[str, str], expected: str) -> None:
    written = said_by_a_process(f"from conveyor.terminal import say; say({NASTY!a})", **environment)
    assert written.decode() == expected + "\n"


def test_json_is_one_document_in_ascii_that_reads_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_json({"name": NASTY + "\x7f"})
    written = capsys.readouterr().out
    assert written.isascii()
    assert not set(written) & {"\x1b", "\x7f"}
    assert json.loads(written) == {"name": NASTY + "\x7f"}


@pytest.mark.parametrize("entries", [[], [{"a": "\x7f\n"}], [1, 2, 3]])
def test_a_list_that_is_printed_entry_by_entry_is_one_document(
    entries: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.say_json_list("found", iter(entries), lambda: {"ok": True})
    assert json.loads(capsys.readouterr().out) == {"found": entries, "ok": True}


def test_no_later_line_of_a_paragraph_looks_like_one_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_paragraph("conveyor: refused\n  field: wrong\nOK: forged\x1b[0m\n")
    assert capsys.readouterr().out == "conveyor: refused\n  field: wrong\n  OK: forged\\x1b[0m\n"


def test_what_a_refusal_says_of_a_field_forges_no_line() -> None:
    rows = [{"field": "name\nOK", "message": "no\x1b[2J\nOK"}]
    assert str(Refused(422, {"code": "invalid", "detail": "bad\nOK", "errors": rows})).split("\n") == [
        r"bad\nOK (422 invalid)",
        r"  name\nOK: no\x1b[2J\nOK",
    ]


def test_a_wrong_command_line_is_quoted_in_print(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["order", "show", "no\x1b[2Jid\nOK"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "\x1b" not in said
    assert r"no\x1b[2Jid\nOK" in said


def printers() -> set[str]:
    """Modules that print past the one place."""
    found = set()
    for file in ROOT.rglob("*.py"):
        text = file.read_text()
        name = str(file.relative_to(ROOT))
        if any(
            each in text for each in ("click.echo", "click.secho", "print(", "sys.stdout.write", "sys.stderr.write")
        ):
            found.add(name)
    return found


def test_nothing_is_printed_past_it() -> None:
    assert printers() == {"terminal.py"} | OVER_PIPES
