"""Cursors go there and back, and what somebody made up is refused."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chassis.errors import Invalid
from chassis.notation import amount, moment
from chassis.paging import page, read_cursor, write_cursor

MOMENT = datetime(2026, 11, 22, 10, 0, 0, 120001, tzinfo=UTC)
ID = UUID("0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10")


def made_up(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


def test_a_cursor_goes_there_and_back_to_the_microsecond() -> None:
    cursor = write_cursor(MOMENT.isoformat(), ID)
    assert read_cursor(cursor, moment, UUID) == [MOMENT, ID]
    assert cursor.strip("=") == cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "no",
        "ü",
        made_up("7"),
        made_up("{}"),
        made_up("[]"),
        made_up('["2026-11-22T10:00:00"]'),
        made_up('["yesterday", "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"]'),
        made_up('["2026-11-22T10:00:00", "17"]'),
        made_up('["2026-11-22T10:00:00", null]'),
        made_up('["\\u0000", "\\ud800"]'),
        made_up("[" * 300),
        write_cursor(MOMENT.isoformat(), ID, ID),
    ],
)
def test_what_is_no_cursor_of_this_list_is_refused_by_its_name(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_cursor(cursor, moment, UUID)
    assert [each["field"] for each in refused.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[(amount, each) for each in ("1E-999999", "1e9", "NaN", "-1", "1_0", "0.001", "1" * 40)],
        *[(moment, each) for each in ("0000-01-01T00:00:00Z", "2026-11-22T10:00:00+99:99", "2026-11-22T25:00:00Z")],
    ],
)
def test_what_no_column_can_be_compared_with_is_no_cursor(kind: Callable[[str], Any], value: str) -> None:
    with pytest.raises(Invalid):
        read_cursor(write_cursor(value), kind)


@pytest.mark.parametrize(("rows", "shown", "cursor"), [("", "", None), ("ab", "ab", None), ("abc", "ab", "b")])
def test_one_row_too_many_says_that_there_is_more(rows: str, shown: str, cursor: str | None) -> None:
    assert page(list(rows), 2, str) == {"items": list(shown), "next_cursor": cursor}


@pytest.mark.parametrize(
    ("weights", "shown", "more"),
    [
        ([9, 9, 9], 3, False),
        ([60_000] * 3, 3, False),
        ([60_000] * 4, 3, True),
        ([300_000, 1], 1, True),
        ([300_000], 1, False),
    ],
)
def test_a_page_of_long_rows_ends_where_it_is_full(weights: list[int], shown: int, more: bool) -> None:
    found = page(list(enumerate(weights)), 100, lambda row: str(row[0]), lambda row: int(row[1]))
    assert len(found["items"]) == shown
    assert found["next_cursor"] == (str(shown - 1) if more else None)
