"""What can be mended without guessing is mended, once and on record; the rest is listed, with a reason."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from conveyor.reconcile.advice import ADVICE
from conveyor.reconcile.repair import Left, Mended, Repairs
from conveyor.reconcile.run import Findings, reconcile
from tests.conftest import SERVICES
from tests.integration.conveyor.test_reconcile import CORRUPTIONS

#: What is done about each corruption: where, and what kind of deviation it was. Every other one is left to people.
MENDED: dict[str, list[tuple[str, str]]] = {
    "a cancelled order without a tombstone in inventory": [("inventory", "reservation")],
    "a pending order that was released": [("sales", "reservation")],
    "a failed delivery whose stock was released": [("sales", "reservation")],
    "a cancelled order that holds": [("inventory", "reservation")],
    "a delivery of a pending order that nobody cancelled": [("sales", "delivery")],
    "a shipped order whose delivery is gone": [("delivery", "delivery")],
    "a delivery that moved unheard": [("sales", "delivery")],
    "an order that knows an older version": [("sales", "delivery_version")],
    "a cancelled order without a tombstone in delivery": [("delivery", "delivery")],
    "a delivery made before the stock was held": [("inventory", "delivery"), ("sales", "total")],
    "a pending order whose saga is closed": [("sales", "saga")],
    "a cancelling order whose saga is that of its placing": [("sales", "saga")],
    "a pending order without a saga": [("sales", "saga")],
    "an open saga of a shipped order": [("sales", "saga")],
}

#: The ledger of these is wrong beside.
LEFT_ALL_THE_SAME = {"a pending order that was released", "a failed delivery whose stock was released"}


def repair(shop: Any, dry_run: bool = False) -> list[Mended | Left]:
    found = reconcile(shop.settings, Findings(), wait=lambda _seconds: None)
    with closing(Repairs(shop.settings, "ada", dry_run)) as repairs:
        return list(repairs.mend(found))


def mended(results: list[Mended | Left]) -> list[tuple[str, str]]:
    return [(each.service, each.deviation.kind) for each in results if isinstance(each, Mended)]


def left(results: list[Mended | Left]) -> list[Any]:
    return [each.deviation for each in results if isinstance(each, Left)]


def rows(shop: Any, service: str, query: str) -> list[Any]:
    return list(shop.postgres.execute(query, f"{shop.name}_{service}"))


def everything_in(shop: Any) -> dict[str, list[str]]:
    """Every row of every table."""
    return {service: _dump(shop.postgres.url(f"{shop.name}_{service}")) for service in SERVICES}


def _dump(url: str) -> list[str]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {table}")
            found += [f"{table}: {row}" for row in cursor.fetchall()]
        return sorted(found)


def audited(shop: Any) -> list[tuple[str, str]]:
    """Where which kind of deviation was mended, by the records of the repairs."""
    query = "SELECT kind FROM repairs WHERE actor = 'ada' ORDER BY id"
    return [(service, kind) for service in SERVICES for (kind,) in rows(shop, service, query)]


def test_nothing_is_repaired_where_nothing_is_wrong(shop: Any) -> None:
    before = everything_in(shop)
    assert repair(shop) == []
    assert everything_in(shop) == before


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_corruption_is_mended_or_left_to_people_and_a_second_repair_changes_nothing(
    request: pytest.FixtureRequest, corruption: str
) -> None:
    service, statements, _ = CORRUPTIONS[corruption]
    shop = request.getfixturevalue("own_shop" if "DROP " in statements else "shop")
    shop.sql(service, statements)
    corrupted = everything_in(shop)

    if corruption in MENDED:
        assert mended(repair(shop, dry_run=True)) == MENDED[corruption]
        assert everything_in(shop) == corrupted
    results = repair(shop)

    assert mended(results) == MENDED.get(corruption, [])
    assert sorted(audited(shop)) == sorted(MENDED.get(corruption, []))
    repaired = everything_in(shop)
    assert (repaired == corrupted) == (corruption not in MENDED)
    assert bool(left(results)) == (corruption not in MENDED or corruption in LEFT_ALL_THE_SAME)
    if corruption in MENDED:
        again = repair(shop)
        assert mended(again) == []
        assert [each for each in left(again) if each.kind != "outbox"] == left(results)
        assert everything_in(shop) == repaired


def test_there_is_advice_on_everything_that_can_deviate() -> None:
    kinds = {kind for _, _, expected in CORRUPTIONS.values() for kind, _ in expected}
    assert kinds | {"in_flight", "dead_letter"} == ADVICE.keys()
