"""The command line of the benchmark, as far as it starts nothing."""

import pytest
from click.testing import CliRunner

from conveyor.bench import compare
from conveyor.bench.command import bench


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orders", "fast"], "there is no part fast: ceiling, orders, naive"),
        (["compare", "HEAD"], "compare takes two revisions"),
        (["--clients", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_started(words: list[str], told: str) -> None:
    answer = CliRunner().invoke(bench, words)
    assert (answer.exit_code, told in answer.output) == (2, True), answer.output


def test_a_comparison_in_which_an_answer_was_wrong_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    run = {"completed_per_second": 9.0, "machine_cpu_ms_per_order": 1.0, "post_p99_ms": 1.0}
    found = {"runs": {"A": [run], "B": [run]}, "ratios": dict.fromkeys(compare.FIGURES, 1.0), "wrong": []}
    monkeypatch.setattr(compare, "compare", lambda *_: found)
    words = ["compare", "HEAD", "HEAD", "--out", str(tmp_path)]
    assert CliRunner().invoke(bench, words).exit_code == 0
    found["wrong"] = ["the orders are few"]
    answer = CliRunner().invoke(bench, words)
    assert (answer.exit_code, "WRONG: the orders are few" in answer.output) == (1, True)
