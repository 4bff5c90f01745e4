"""A minute of chaos: whatever is killed, no order, unit of stock or delivery is lost or doubled."""

from pathlib import Path

from tests.e2e.chaos import run_chaos


def test_a_minute_of_chaos_ends_without_a_violation(tmp_path: Path) -> None:
    ran = run_chaos(tmp_path, seed=1, minutes=1, orders=200)
    assert ran.code == 0, ran.said
    verdict = ran.verdict
    assert (verdict["seed"], verdict["orders"], verdict["violations"]) == (1, 200, 0), ran.said
    assert verdict["kills"] >= 10, ran.said
    assert verdict["restarts"] >= 4, ran.said
    assert verdict["duplicates"] >= 20, ran.said
