"""How outbox rows become messages: as few as the limits allow, and never two copies of an order in one."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from chassis.outbox import MOST_BYTES, MOST_LINES, MOST_ORDERS
from tasks.bundles import bundles

CHECK = '[{"task": "next"}]'
OTHER = '[{"task": "another"}]'


def row(number: int, *orders: dict[str, Any], task: str = "a", links: str = CHECK, alone: bool = False) -> Any:
    bundle = msgspec.json.encode(list(orders)).decode()
    return SimpleNamespace(id=number, task=task, links=links, bundle=bundle, alone=alone)


def order(number: int, lines: int = 1, **facts: Any) -> dict[str, Any]:
    return {"order_id": str(number), "kind": "place", "no": 0, "lines": [{}] * lines, **facts}


def ids(rows: list[Any]) -> list[list[str]]:
    return [[each["order_id"] for each in bundle.orders] for bundle in bundles(rows)]


def test_rows_of_the_same_links_share_a_message_in_the_order_of_their_writing() -> None:
    assert ids([row(2, order(2)), row(1, order(1)), row(3, order(3), order(4))]) == [["1", "2", "3", "4"]]


def test_rows_of_other_links_do_not() -> None:
    assert sorted(ids([row(1, order(1)), row(2, order(2), links=OTHER)])) == [["1"], ["2"]]


def test_rows_of_another_task_do_not() -> None:
    assert sorted(ids([row(1, order(1)), row(2, order(2), task="b"), row(3, order(3))])) == [["1", "3"], ["2"]]


def test_a_bundle_knows_which_rows_it_is_made_of() -> None:
    copies = [row(1, order(1)), row(2, order(1)), row(3, order(2), order(3))]
    assert [bundle.rows for bundle in bundles(copies)] == [[1], [2, 3]]


def test_a_row_that_is_alone_shares_with_nobody() -> None:
    assert sorted(ids([row(1, order(1)), row(2, order(2), alone=True), row(3, order(3))])) == [["1", "3"], ["2"]]


def test_an_order_stands_once_per_kind_and_number() -> None:
    copies = [
        row(1, order(1)),
        row(2, order(1)),
        row(3, order(1, kind="cancel", no=1)),
        row(4, order(1, kind="cancel", no=2)),
    ]
    assert [len(each) for each in ids(copies)] == [1, 3]


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([row(n, order(n)) for n in range(MOST_ORDERS + 1)], [MOST_ORDERS, 1]),
        ([row(n, order(n, lines=MOST_LINES // 2)) for n in range(3)], [2, 1]),
        ([row(n, order(n, note="x" * (MOST_BYTES // 2 - 200))) for n in range(3)], [2, 1]),
    ],
    ids=["orders", "lines", "bytes"],
)
def test_a_message_has_its_limits(rows: list[Any], sizes: list[int]) -> None:
    assert [len(each) for each in ids(rows)] == sizes


def test_one_order_over_the_limits_goes_by_itself() -> None:
    assert ids([row(1, order(1, lines=MOST_LINES * 2)), row(2, order(2))]) == [["1"], ["2"]]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    "garbage",
    [["garbage", 7], [None], [{"order_id": []}], [{"order_id": {}, "kind": [], "no": {}}], [{"lines": 7}], []],
)
def test_a_body_that_is_no_order_is_passed_on(garbage: list[Any], alone: bool) -> None:
    """A relay that stumbled over it would stumble for ever, and all that waits behind it would wait as long."""
    rows = [SimpleNamespace(id=1, task="a", links="[]", bundle=json.dumps(garbage), alone=alone)]
    assert [bundle.orders for bundle in bundles(rows)] == [garbage]
