"""Cursors: where a list goes on, as an opaque string.

A cursor names the last row that was seen, not a number of rows to skip: so a page costs the same wherever it is, and
rows that are added meanwhile neither repeat nor hide others.
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from chassis.errors import Invalid

#: The most rows of one page.
LARGEST_PAGE = 100
#: The most characters of text in a page of rows that can be long, one row at least.
HEAVIEST_PAGE = 200_000


def write_cursor(*position: Any) -> str:
    """The cursor behind the row with these sort values."""
    return base64.urlsafe_b64encode(json.dumps(position, default=str).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: Callable[[str], Any]) -> list[Any]:
    """The sort values in a cursor, one for each of ``kinds``, which parse them. Raises Invalid."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(position, list):
            raise ValueError("not a list")
        return [kind(_storable(str(value))) for kind, value in zip(kinds, position, strict=True)]
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        rule = "must be the next_cursor of a page of this list"
        raise Invalid(f"cursor {rule}", errors=[{"field": "cursor", "message": rule}]) from None


def _storable(value: str) -> str:
    """A cursor that somebody made up may hold text that no database can compare with: NUL, half a surrogate pair."""
    if "\x00" in value:
        raise ValueError("has a NUL")
    value.encode()
    return value


def page(
    rows: Sequence[Any],
    limit: int,
    cursor_of: Callable[[Any], str],
    weight: Callable[[Any], int] = lambda _row: 0,
) -> dict[str, Any]:
    """One page out of ``limit + 1`` rows: ``{"items", "next_cursor"}``; a row beyond the page says that there is more.

    ``weight`` (in characters) is for rows of which a hundred can be too much: their page ends where it is full.
    """
    shown, room = list(rows[:limit]), HEAVIEST_PAGE
    for number, row in enumerate(shown):
        room -= weight(row)
        if room < 0 and number:
            shown = shown[:number]
            break
    return {"items": shown, "next_cursor": cursor_of(shown[-1]) if len(rows) > len(shown) else None}
