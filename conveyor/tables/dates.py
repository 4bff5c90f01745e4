"""When: the ways in which exports write a moment, and whether 3/2/2026 is in February or in March.

Points put the day first, wherever points are used. Slashes and dashes do not tell, unless a number in the file is over
12; where none is, the order is not known, and whoever needs it has to be told.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from conveyor.tables.cells import Cell

DMY, MDY, YMD = "dmy", "mdy", "ymd"
#: Days from here are how a workbook stores a date; 1900 was no leap year, and it thinks it was.
EPOCH = datetime(1899, 12, 30)
#: 1954 to 2119: what a number in a column of dates may mean.
SERIAL = (Decimal(20_000), Decimal(80_000))

_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]+(.*))?", re.ASCII)
_OTHER = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?:[T ,]+(.*))?", re.ASCII)
_TIME = re.compile(
    r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d+)?)? ?([AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:? ?\d{2}))?",
    re.ASCII,
)
_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * at : 3 * at + 3]: at + 1 for at in range(12)}
#: 2 March 2026, 02-Mar-26, March 2, 2026: in English, as exports write them.
_NAMED = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3,9})\.?[ ,-]+(\d{4}|\d{2})(?:[T ,]+(.*))?", re.ASCII)
_NAMED_FIRST = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})(?:[T ,]+(.*))?", re.ASCII)
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(?:[T ]?(\d{2}:?\d{2}(?::?\d{2})?))?", re.ASCII)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?", re.ASCII)


@dataclass(slots=True)
class DateSurvey:
    """What the dates of a file say about the order of day and month."""

    asked: str | None = None
    told: dict[str, str] = field(default_factory=dict)
    untold: str = ""
    unread: str = ""
    serial: bool = False

    def take(self, cell: Cell, line: int) -> None:
        """Look at one cell that may be a date."""
        if not isinstance(cell, str) or _ISO.match(cell):
            return
        found = _OTHER.match(cell.strip())
        if not found:
            self.serial = self.serial or _serial(cell) is not None
            if not self.unread and cell.strip() and moment_of(cell, None) is None:
                self.unread = f"{cell.strip()[:40]!r} in line {line}"
            return
        first, mark, second = int(found[1]), found[2], int(found[3])
        says = DMY if mark == "." or first > 12 else MDY if second > 12 else ""
        if says:
            self.told.setdefault(says, f"{found[0]} in line {line}")
        elif first != second and not self.untold:
            self.untold = f"{found[0]} in line {line}"

    @property
    def order(self) -> str | None:
        """DMY, MDY, YMD, or None where the dates of the file do not tell."""
        if self.asked:
            return self.asked
        return next(iter(self.told)) if len(self.told) == 1 else None

    def why(self) -> str:
        """What was decided, for people; empty where there was nothing to decide."""
        unread = f"{self.unread} cannot be read" if self.unread else ""
        return "; ".join(each for each in (self._order_in_words(), unread) if each)

    def _order_in_words(self) -> str:
        names = {DMY: "day first", MDY: "month first", YMD: "year first"}
        serial = "; days since 1900, as a workbook stores them" if self.serial else ""
        if self.asked:
            return f"{names[self.asked]}, as --dates says{serial}"
        if len(self.told) == 1:
            order, example = next(iter(self.told.items()))
            return f"{names[order]} ({example}){serial}"
        if self.told:
            return f"in two orders: {' and '.join(self.told.values())}{serial}"
        if self.untold:
            return f"day and month cannot be told apart ({self.untold}){serial}"
        return serial.removeprefix("; ")


def moment_of(cell: Cell, order: str | None) -> datetime | None:
    """The moment in this cell, without its zone; None where it is none, or where only the order would tell."""
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None)
    if isinstance(cell, Decimal):
        return _days(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    if found := _ISO.fullmatch(text):
        return _moment(int(found[1]), int(found[2]), int(found[3]), found[4])
    if found := _OTHER.fullmatch(text):
        return _ordered(found, order)
    return _serial(text) or _other(text)


def _other(text: str) -> datetime | None:
    """A moment whose month has a name, or that has no marks at all."""
    if found := _COMPACT.fullmatch(text):
        time = re.sub(r"(\d{2})(?=\d)", r"\1:", found[4] or "")
        return _moment(int(found[1]), int(found[2]), int(found[3]), time.replace("::", ":") or None)
    if found := _NAMED.fullmatch(text):
        day, name, year, time = found.groups()
    elif found := _NAMED_FIRST.fullmatch(text):
        name, day, year, time = found.groups()
    else:
        return None
    month = _MONTHS.get(name[:3].lower(), 0)
    return _moment(int(year) + (2000 if len(year) == 2 else 0), month, int(day), time)


def _ordered(found: re.Match[str], order: str | None) -> datetime | None:
    first, mark, second, year = int(found[1]), found[2], int(found[3]), int(found[4])
    if order == YMD and len(found[4]) == 2:
        return _moment(2000 + first, second, year, found[5])
    if len(found[4]) == 2:
        year += 2000 if year < 70 else 1900
    if mark == "." and order != MDY:
        order = DMY
    if order not in (DMY, MDY):
        order = DMY if first > 12 or first == second else MDY if second > 12 else None
    if order is None:
        return None
    day, month = (first, second) if order == DMY else (second, first)
    return _moment(year, month, day, found[5])


def _moment(year: int, month: int, day: int, time: str | None) -> datetime | None:
    hour = minute = second = 0
    if time:
        found = _TIME.fullmatch(time.strip())
        if not found:
            return None
        hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
        if found[4]:
            hour = hour % 12 + 12 * (found[4][0] in "Pp")
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _serial(text: str) -> datetime | None:
    return _days(Decimal(text.replace(",", "."))) if _SERIAL.fullmatch(text) else None


def _days(number: Decimal) -> datetime | None:
    if not SERIAL[0] <= number <= SERIAL[1]:
        return None
    return EPOCH + timedelta(seconds=round(float(number) * 86_400))
