"""Commands whose output nobody takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT


def conveyor(state: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run this in bash, ``conveyor`` being the command line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    script = f'set -o pipefail; conveyor() {{ "{sys.executable}" -m conveyor "$@"; }}; {command}'
    environment |= {"CONVEYOR_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=50)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    logs = tmp_path / ".conveyor" / "logs"
    logs.mkdir(parents=True)
    lines = [f"2026-11-22 10:00:{number % 60:02} line {number}\n" for number in range(20_000)]
    (logs / "sales.log").write_text("".join(lines))
    return logs.parent


@pytest.mark.parametrize("command", ["conveyor logs -n 20000", "conveyor logs -n 20000 -f"])
def test_head_ends_what_it_needs_no_more_of_without_a_word(state: Path, command: str) -> None:
    # What is followed goes on until there is a line that nobody takes.
    done = conveyor(state, f"{command} | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sales | 2026-11-22")


@pytest.mark.parametrize("command", ["conveyor logs -n 20000", "conveyor --help"])
def test_what_did_not_fit_on_the_disk_is_said(state: Path, command: str) -> None:
    done = conveyor(state, f"{command} >/dev/full")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "conveyor: not all that it had to say could be written: No space left on device\n"


def test_an_error_that_nobody_reads_has_its_exit_code_all_the_same(state: Path) -> None:
    assert conveyor(state, "conveyor logs nobody 2>/dev/full").returncode == 1
    assert conveyor(state, "conveyor logs --nothing 2>/dev/full").returncode == 2
