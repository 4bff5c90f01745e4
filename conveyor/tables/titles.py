"""Which column a title names, whoever wrote it: case, blanks and signs are what exports change about one."""

import unicodedata
from collections.abc import Container, Mapping, Sequence

from conveyor.tables.errors import Uncertain


def normal(title: str) -> str:
    """A title without what exports change about it: case, blanks, signs."""
    return "".join(each for each in unicodedata.normalize("NFKC", title).casefold() if each.isalnum())


class Titles:
    """The titles of a header, in its turn."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = titles
        self._normal = [normal(each) for each in titles]
        self._places: dict[str, int] = {}
        for place, each in enumerate(self._normal):
            self._places.setdefault(each, place)

    def __getitem__(self, place: int) -> str:
        return self._titles[place].strip()

    def place(self, title: str) -> int | None:
        """Where the column of this title stands, from 0; ``#4`` is the fourth. None where there is none."""
        number = title.removeprefix("#")
        if number != title and number.isdecimal():
            return int(number) - 1 if 0 < int(number) <= len(self._titles) else None
        return self._places.get(normal(title))

    def check(self, at: Mapping[str, int], numbered: Container[str]) -> None:
        """Raises Uncertain where a field, unless ``numbered``, stands in one of several columns with the same title."""
        for name, place in at.items():
            alike = [n for n, each in enumerate(self._normal, start=1) if each == self._normal[place]]
            if len(alike) > 1 and name not in numbered:
                places = ", ".join(map(str, alike))
                raise Uncertain(
                    f"not certain: the columns {places} are all called {self[place]}. Say --map {name}=#NUMBER"
                )
