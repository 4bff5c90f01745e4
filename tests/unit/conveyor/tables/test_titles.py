"""Which column a title names; `--map FIELD=#4` names it by its number."""

import pytest

from conveyor.tables.errors import Uncertain
from conveyor.tables.titles import Titles

HEADER = Titles(["Artikel-Nr.", " Name ", "name", "Preis"])


@pytest.mark.parametrize(
    ("title", "place"),
    [
        ("ARTIKEL NR", 0),
        ("Name", 1),
        ("#3", 2),
        ("#4", 3),
        ("#5", None),
        ("#0", None),
        ("#\u00b2", None),
        ("Menge", None),
    ],
)
def test_a_column_is_found_by_its_title_or_its_number(title: str, place: int | None) -> None:
    assert HEADER.place(title) == place


def test_of_two_columns_of_one_title_the_number_has_to_be_said() -> None:
    HEADER.check({"sku": 0, "price": 3}, ())
    HEADER.check({"name": 1}, {"name"})
    with pytest.raises(Uncertain, match=r"the columns 2, 3 are all called Name\. Say --map name=#NUMBER"):
        HEADER.check({"name": 1}, ())
