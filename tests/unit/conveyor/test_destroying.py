"""What destroys asks first, and refuses while anything is at work on what would go."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chassis.settings import settings
from conveyor import stack
from conveyor.cli import cli
from conveyor.embedded.processes import RECORD, Record, started

Reset = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with data, on which nothing runs."""
    found = tmp_path / "shop"
    with stack.only_one(found):
        (found / "postgres").mkdir()
        (found / "postgres" / "data").touch()
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(found))
    settings.cache_clear()
    yield found
    settings.cache_clear()


@pytest.fixture
def reset(state: Path) -> Reset:
    return lambda *arguments, said="": CliRunner().invoke(cli, ["reset", *arguments], input=said)


def test_its_name_typed_is_consent(state: Path, reset: Reset) -> None:
    result = reset(said="shop\n")
    assert result.exit_code == 0
    assert "All orders, stock and logs" in result.output
    assert not state.exists()


def test_so_is_yes(state: Path, reset: Reset) -> None:
    assert reset("--yes").exit_code == 0
    assert not state.exists()


@pytest.mark.parametrize("said", ["", "\n", "yes\n", "shop2\n"])
def test_nothing_else_is(state: Path, reset: Reset, said: str) -> None:
    result = reset(said=said)
    assert result.exit_code != 0
    assert "nothing was done" in str(result.exception)
    assert (state / "postgres" / "data").exists()


def test_the_programs_that_were_fetched_are_no_data(state: Path, reset: Reset) -> None:
    program = state / "fetched" / "debian-12-x86_64" / "bin" / "rabbitmq-server"
    program.parent.mkdir(parents=True)
    program.touch()
    (state / "stack.json").write_text("{}")
    for _ in range(2):  # the second finds a folder with nothing but these
        result = reset("--yes")
        assert result.exit_code == 0
        assert f"all but the programs in {state}/fetched" in result.output
        assert program.exists()
        assert {each.name for each in state.iterdir()} == {"fetched", "lock"}


def test_not_while_a_supervisor_runs(state: Path, reset: Reset) -> None:
    with stack.only_one(state):
        stack.Stack(os.getpid(), True, {}, {}).save(state)
        assert "a stack is running" in str(reset("--yes").exception)
    assert (state / "postgres" / "data").exists()


def test_not_while_a_process_runs_that_a_killed_supervisor_left(state: Path, reset: Reset) -> None:
    (state / "processes").mkdir()
    with subprocess.Popen(["sleep", "60"]) as orphan:
        Record(orphan.pid, str(started(orphan.pid)), []).write(state / "processes" / f"gateway{RECORD}")
        said = str(reset("--yes").exception)
        assert f"gateway {orphan.pid}" in said
        assert (state / "postgres" / "data").exists()
        orphan.kill()
    assert reset("--yes").exit_code == 0


def test_a_folder_with_anything_of_somebody_s_is_never_deleted(state: Path, reset: Reset) -> None:
    (state / "letters.txt").touch()
    assert "letters.txt, which is not a stack's" in str(reset("--yes").exception)
    (state / "letters.txt").unlink()
    (state / "lock").unlink()
    assert "holds no stack" in str(reset("--yes").exception)
    assert (state / "postgres" / "data").exists()


def test_where_there_is_nothing_that_is_said(reset: Reset) -> None:
    reset("--yes")
    result = reset()
    assert result.exit_code == 0
    assert "nothing to forget" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("quarantine", "drop", "message", "--reason", "x"),
        ("orphan", "give-up", "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10", "--reason", "x"),
    ],
)
def test_what_settles_for_good_asks_before_it_looks(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/x")
    result = CliRunner().invoke(cli, arguments, input="")
    assert result.exit_code != 0
    assert "nothing was done. Where nobody can be asked, --yes" in str(result.exception)
