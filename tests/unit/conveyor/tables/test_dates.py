"""Moments, and the order of day and month."""

from datetime import datetime
from decimal import Decimal

import pytest

from conveyor.tables.dates import DMY, MDY, DateSurvey, moment_of


def survey(*dates: str, asked: str | None = None) -> DateSurvey:
    taken = DateSurvey(asked)
    for line, date in enumerate(dates, start=2):
        taken.take(date, line)
    return taken


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02", datetime(2026, 3, 2)),
        ("2026-03-02 10:20", datetime(2026, 3, 2, 10, 20)),
        ("2026-03-02T10:20:30.25Z", datetime(2026, 3, 2, 10, 20, 30)),
        ("2026-03-02 10:20:30 +0100", datetime(2026, 3, 2, 10, 20, 30)),
        ("2026/03/02", datetime(2026, 3, 2)),
        ("02.03.2026", datetime(2026, 3, 2)),
        ("2.3.26 9:05", datetime(2026, 3, 2, 9, 5)),
        ("13/3/2026", datetime(2026, 3, 13)),
        ("3/13/2026 1:05 PM", datetime(2026, 3, 13, 13, 5)),
        ("3/3/2026 12:05 am", datetime(2026, 3, 3, 0, 5)),
        ("02-Mar-26", datetime(2026, 3, 2)),
        ("2 March 2026 10:20", datetime(2026, 3, 2, 10, 20)),
        ("Mar 2, 2026, 1:05 pm", datetime(2026, 3, 2, 13, 5)),
        ("20260302", datetime(2026, 3, 2)),
        ("20260302T102030", datetime(2026, 3, 2, 10, 20, 30)),
        ("46083.5", datetime(2026, 3, 2, 12)),
        (Decimal("46083.4375"), datetime(2026, 3, 2, 10, 30)),
        (datetime(2026, 3, 2, 1), datetime(2026, 3, 2, 1)),
    ],
)
def test_a_moment_is_read_however_it_is_written(text, moment: datetime) -> None:
    assert moment_of(text, None) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "31/31/2026", "12", "2026-03-02 25:00", "1/2/2026"])
def test_what_is_no_moment_or_not_certain_is_none(text: str) -> None:
    assert moment_of(text, None) is None


def test_one_day_over_12_tells_the_order_of_all() -> None:
    assert survey("3/2/2026", "3/13/2026").order == MDY
    assert survey("3/2/2026", "13/3/2026").order == DMY
    assert moment_of("3/2/2026 8:00", MDY) == datetime(2026, 3, 2, 8)
    assert moment_of("3/2/2026 8:00", DMY) == datetime(2026, 2, 3, 8)


def test_an_order_that_nothing_tells_is_not_known_and_said() -> None:
    assert survey("3/2/2026", "4/2/2026").order is None
    assert "cannot be told apart (3/2/2026 in line 2)" in survey("3/2/2026").why()
    assert survey("13/2/2026", "2/13/2026").order is None
    assert survey("3/2/2026", asked=DMY).order == DMY
    assert survey("2026-03-02", "5/5/2026").why() == ""
    assert survey("2026-03-02", "yesterday").why() == "'yesterday' in line 3 cannot be read"
