"""The same work on many items."""

import itertools

import pytest

from conveyor.parallel import AHEAD, each


def test_items_are_taken_as_they_are_needed() -> None:
    taken = itertools.count()
    results = each(lambda item: item * 2, (item for item in taken), 3)
    assert sorted(itertools.islice(results, 50)) != []
    assert next(taken) <= 50 + 2 * AHEAD * 3
    results.close()


def test_every_item_has_a_result_and_the_first_exception_comes_out() -> None:
    assert sorted(each(str, range(100), 4)) == sorted(map(str, range(100)))
    with pytest.raises(ZeroDivisionError):
        list(each(lambda item: 1 // (item - 30), range(100), 4))
