"""Where the fields of an order book stand: the line that names its columns, read as one of the known formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from conveyor.replay.formats import FORMATS, UCI, Format
from conveyor.tables.errors import Uncertain
from conveyor.tables.titles import Titles

#: Either price will do.
INSTEAD = {"UnitPrice": "LinePrice", "LinePrice": "UnitPrice"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in a row, and by which titles: ``key`` is where a missing StockCode is taken from."""

    format: Format
    at: Mapping[str, int]
    titles: Mapping[str, str]
    key: int | None = None
    key_title: str = ""


@dataclass(slots=True)
class Header:
    """Recognises the line that names the columns of an order book, and remembers what came closest.

    ``asked`` is a format's name or "auto"; ``mapped`` are further titles by field, as ``--map`` has them.
    """

    asked: str = "auto"
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    found: list[Columns] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __call__(self, titles: Sequence[str]) -> bool:
        """Whether these are the titles of an order book."""
        formats = [each for each in FORMATS.values() if self.asked in ("auto", each.name)]
        self.found, header = [], Titles(titles)
        for each in formats:
            columns, missing = resolved(_with(each, self.mapped), header, frozenset(self.mapped))
            if not missing:
                self.found.append(columns)
            elif each is formats[0] and len(missing) <= len(self.missing or missing):
                self.missing = missing
        if self.found and self.mapped:
            self.found = self.found[:1]
        return bool(self.found)

    @property
    def lacking(self) -> list[str]:
        """The fields that the line which came closest does not name; all that are needed where none came close."""
        return self.missing or list(FORMATS.get(self.asked, UCI).needed)

    def columns(self, titles: Sequence[str]) -> Columns:
        """Where everything is, under this header. Raises Uncertain where that can be read in more than one way."""
        if not self(titles):
            raise LookupError("these titles name no order book")
        if len(self.found) > 1:
            names = ", ".join(each.format.name for each in self.found)
            raise Uncertain(f"like order books of several formats: {names}. Say --format NAME")
        columns = self.found[0]
        numbered = {name for name, mapped in self.mapped.items() if any(each.startswith("#") for each in mapped)}
        Titles(titles).check(columns.at, numbered)
        return columns


def resolved(wanted: Format, titles: Titles, mapped: frozenset[str]) -> tuple[Columns, list[str]]:
    """Where a format's fields stand under these titles, and the fields that are needed and not there."""
    at: dict[str, int] = {}
    for name, candidates in wanted.titles.items():
        for candidate in candidates:
            place = titles.place(candidate)
            if place is not None:
                at[name] = place
                break
    missing = [name for name in wanted.needed if name not in at and INSTEAD.get(name) not in at]
    missing += [name for name in mapped if name not in at and name not in missing]
    missing += [mark for mark in wanted.marks if titles.place(mark) is None and not mapped]
    key = _key(wanted, at, titles)
    named = {name: titles[place] for name, place in at.items()}
    return Columns(wanted, at, named, key, titles[key] if key is not None else ""), missing


def _key(wanted: Format, at: Mapping[str, int], titles: Titles) -> int | None:
    """Where a missing StockCode is taken from: a second column that it is mapped to, or what the format says."""
    for candidate in wanted.titles.get("StockCode", ())[1:]:
        place = titles.place(candidate)
        if place is not None and place != at.get("StockCode"):
            return place
    return at.get(wanted.key) if wanted.key else None


def _with(base: Format, mapped: Mapping[str, tuple[str, ...]]) -> Format:
    return replace(base, titles={**base.titles, **mapped}) if mapped else base
