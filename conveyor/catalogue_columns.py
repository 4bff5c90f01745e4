"""Where the fields of a catalogue stand: the line that names its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conveyor.tables.titles import Titles

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
        at = self._places(titles)
        Titles(titles).check(at, {name for name, each in self.mapped.items() if each.startswith("#")})
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
        header = Titles(titles)
        found = {name: header.place(self.mapped.get(name, name)) for name in FIELDS}
        return {name: place for name, place in found.items() if place is not None}
