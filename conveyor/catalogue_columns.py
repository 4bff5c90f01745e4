"""Where the fields of a catalogue stand: the line that names its columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conveyor.replay.columns import normal
from conveyor.tables.errors import Uncertain

#: What a column is called, and the field of the gateway that it is.
FIELDS = {"sku": "sku", "name": "name", "description": "description", "price": "price", "stock": "stock_quantity"}
NEEDED = ("sku", "name", "price")


@dataclass(slots=True)
class Header:
    """Recognises the line that names the columns of a catalogue, and remembers what came closest.

    ``mapped`` are titles by field, as ``--map`` has them: ``Artikel``, or ``#4`` for the fourth column.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = NEEDED

    def __call__(self, titles: Sequence[str]) -> bool:
        """Whether these are the titles of a catalogue."""
        at = self._places(titles)
        missing = [name for name in FIELDS if name not in at and (name in NEEDED or name in self.mapped)]
        if len(missing) < len(self.missing):
            self.missing = missing
        return not missing

    def columns(self, titles: Sequence[str]) -> dict[str, int]:
        """Where each field stands under this header. Raises Uncertain where two columns have the same title."""
        at, plain = self._places(titles), [normal(each) for each in titles]
        counted = Counter(plain)
        for name, place in at.items():
            if counted[plain[place]] > 1 and not self.mapped.get(name, "").startswith("#"):
                places = ", ".join(str(n) for n, each in enumerate(plain, start=1) if each == plain[place])
                title = titles[place].strip()
                raise Uncertain(f"not certain: the columns {places} are all called {title}. Say --map {name}=#NUMBER")
        return at

    def said(self, titles: Sequence[str]) -> str:
        """Which column is which, in words, and which are left alone."""
        at = self._places(titles)
        named = [
            name if name == (title := titles[place].strip()).lower() else f"{name} is {title!r}"
            for name, place in at.items()
        ]
        others = [each.strip() for place, each in enumerate(titles) if place not in at.values() and each.strip()]
        return ", ".join(named) + (f"; left alone: {', '.join(others)}" if others else "")

    def why_not(self) -> str:
        """What is missing for a catalogue, and how to say what is what."""
        plural = "s" * (len(self.missing) > 1)
        return (
            f"no catalogue: no line names the column{plural} {', '.join(self.missing)}."
            f" --map {self.missing[0]}=TITLE says what one is called"
        )

    def _places(self, titles: Sequence[str]) -> dict[str, int]:
        plain = [normal(each) for each in titles]
        found = {name: _place(self.mapped.get(name, name), plain) for name in FIELDS}
        return {name: place for name, place in found.items() if place is not None}


def _place(title: str, plain: Sequence[str]) -> int | None:
    if title.startswith("#") and title[1:].isdecimal():
        return int(title[1:]) - 1 if 0 < int(title[1:]) <= len(plain) else None
    return plain.index(normal(title)) if normal(title) in plain else None
