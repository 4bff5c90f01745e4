"""The command line of the benchmark, as far as it starts nothing."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chassis.errors import ConveyorError
from conveyor.bench import compare
from conveyor.bench.command import bench
from conveyor.own_stack import started


def compared(second_alone: dict[str, str]) -> dict[str, Any]:
    """What a comparison finds of two revisions that are alike."""
    run = {"completed_per_second": 9.0, "machine_cpu_ms_per_order": 1.0, "post_p99_ms": 1.0}
    ratios = dict.fromkeys(compare.FIGURES, 1.0)
    return {"runs": {"A": [run], "B": [run]}, "ratios": ratios, "wrong": [], "second_alone": second_alone}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orders", "fast"], "there is no part fast: ceiling, orders, naive"),
        (["compare", "HEAD"], "compare takes two revisions"),
        (["compare", "HEAD", "HEAD", "--second", "CONVEYOR_WORKERZ=2"], "CONVEYOR_WORKERZ=2 is not NAME=VALUE"),
        (["compare", "HEAD", "HEAD", "--second", "CONVEYOR_SALES_PORT=1"], "CONVEYOR_SALES_PORT=1 is not NAME=VALUE"),
        (["orders", "--second", "CONVEYOR_WORKERS=2"], "--second is for compare"),
        (["--clients", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_started(words: list[str], told: str) -> None:
    answer = CliRunner().invoke(bench, words)
    assert (answer.exit_code, told in answer.output) == (2, True), answer.output


def test_a_setting_that_the_second_revision_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chassis").mkdir()
    (tmp_path / "chassis" / "settings.py").write_text("class Settings:\n    relays: int = 1\n")
    with (
        pytest.raises(ConveyorError, match="has no setting CONVEYOR_WORKERS"),
        started(tmp_path, {"CONVEYOR_WORKERS": "2"}),
    ):
        pass


def test_a_comparison_in_which_an_answer_was_wrong_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    found = compared({})
    monkeypatch.setattr(compare, "compare", lambda *_: found)
    words = ["compare", "HEAD", "HEAD", "--out", str(tmp_path)]
    assert CliRunner().invoke(bench, words).exit_code == 0
    found["wrong"] = ["the orders are few"]
    answer = CliRunner().invoke(bench, words)
    assert (answer.exit_code, "WRONG: the orders are few" in answer.output) == (1, True)


def test_the_second_may_have_settings_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(compare, "compare", lambda *words: compared(words[3]))
    two = ["--second", "CONVEYOR_WORKERS=2", "--second", "CONVEYOR_RELAYS=2"]
    answer = CliRunner().invoke(bench, ["compare", "HEAD", "HEAD", *two, "--out", str(tmp_path)])
    assert "the second alone had CONVEYOR_WORKERS=2\nthe second alone had CONVEYOR_RELAYS=2\n" in answer.output
