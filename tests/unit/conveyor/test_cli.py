"""The command line says what went wrong in one line, and never shows a stack trace for what is nobody's mistake."""

import pytest

from conveyor import cli


def test_a_database_that_is_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales:secret@127.0.0.1:9/ecommerce_db")
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate", "sales"])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("conveyor: the database cannot serve")
    assert len(said.splitlines()) == 1
    assert "secret" not in said


def test_an_unknown_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_ULR", "x")
    with pytest.raises(SystemExit) as ended:
        cli.main(["topology"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("conveyor: unknown setting CONVEYOR_SALES_DATABASE_ULR")
