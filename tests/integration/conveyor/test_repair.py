"""What can be mended without guessing is mended, once and on record; the rest is listed, with a reason."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from chassis.settings import settings
from conveyor.reconcile.advice import ADVICE
from conveyor.reconcile.command import reconcile as command
from conveyor.reconcile.repair import Left, Mended, Repairs
from conveyor.reconcile.run import Findings, reconcile
from tests.conftest import SERVICES
from tests.integration.conveyor.test_reconcile import CORRUPTIONS, found_in

#: What is done about each corruption: where, and what kind of deviation it was. Every other one is left to people.
MENDED: dict[str, list[tuple[str, str]]] = {
    "a cancelled order without a tombstone in inventory": [("inventory", "reservation")],
    "a pending order that was released": [("sales", "reservation")],
    "a failed delivery whose stock was released": [("sales", "reservation")],
    "a cancelled order that holds": [("inventory", "reservation")],
    "a rejected order that holds": [("inventory", "reservation")],
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


def first_of_each_kind() -> list[str]:
    """Of the corruptions that are left to people, one for each kind of deviation: all of them would take long."""
    by_kind: dict[str, str] = {}
    for name, (_, statements, expected) in CORRUPTIONS.items():
        if name not in MENDED and "DROP " not in statements:
            by_kind.setdefault(expected[0][0], name)
    return list(by_kind.values())


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


@pytest.mark.parametrize("corruption", MENDED)
def test_what_can_be_mended_is_mended_once(shop: Any, corruption: str) -> None:
    shop.sql(*CORRUPTIONS[corruption][:2])
    corrupted = everything_in(shop)

    assert mended(repair(shop, dry_run=True)) == MENDED[corruption]
    assert everything_in(shop) == corrupted
    results = repair(shop)

    assert mended(results) == MENDED[corruption]
    assert sorted(audited(shop)) == sorted(MENDED[corruption])
    assert bool(left(results)) == (corruption in LEFT_ALL_THE_SAME)
    repaired = everything_in(shop)
    again = repair(shop)
    assert mended(again) == []
    assert [each for each in left(again) if each.kind != "outbox"] == left(results)
    assert everything_in(shop) == repaired


@pytest.mark.parametrize("corruption", first_of_each_kind())
def test_what_would_be_guessed_is_left_as_it_is(shop: Any, corruption: str) -> None:
    service, statements, deviations = CORRUPTIONS[corruption]
    shop.sql(service, statements)
    expected = [(kind, shop.ids.get(id_, id_)) for kind, id_ in deviations]
    corrupted = everything_in(shop)

    results = repair(shop)

    assert [(each.kind, each.id) for each in left(results)] == expected
    assert mended(results) == []
    assert everything_in(shop) == corrupted


def test_there_is_advice_on_everything_that_can_deviate() -> None:
    kinds = {kind for _, _, expected in CORRUPTIONS.values() for kind, _ in expected}
    assert kinds | {"in_flight", "dead_letter"} == ADVICE.keys()


@pytest.fixture
def in_the_environment(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for service in SERVICES:
        monkeypatch.setenv(f"CONVEYOR_{service.upper()}_DATABASE_URL", shop.settings.database_url(service))
    settings.cache_clear()
    yield shop
    settings.cache_clear()


class TestTheCommand:
    def run(self, *options: str) -> Result:
        return CliRunner().invoke(command, ["--settle", "0", "--actor", "ada", *options])

    def test_says_what_it_has_mended_and_ends_well(self, in_the_environment: Any) -> None:
        shop = in_the_environment
        shop.sql(*CORRUPTIONS["a shipped order whose delivery is gone"][:2])
        result = self.run("--repair")
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert lines[0] == (
            f"mended: delivery  {shop.ids['shipped']}  there is: Pending Shipment, no delivery  "
            "did: made the delivery again, PENDING at version 1, as sales was told before"
        )
        assert lines[-2:] == ["mended 1: 1 delivery", "OK: nothing is left to mend"]
        assert audited(shop) == [("delivery", "delivery")]

    def test_only_shows_what_it_would_do_when_it_is_told_so(self, in_the_environment: Any) -> None:
        shop = in_the_environment
        shop.sql(*CORRUPTIONS["a shipped order whose delivery is gone"][:2])
        before = everything_in(shop)
        lines = self.run("--repair", "--dry-run").output.splitlines()
        assert lines[0].startswith(f"would mend: delivery  {shop.ids['shipped']}")
        assert "would do: made the delivery again" in lines[0]
        assert lines[-2] == "would mend 1: 1 delivery"
        assert everything_in(shop) == before

    def test_lists_what_is_left_with_the_reason_and_what_a_person_can_do(self, in_the_environment: Any) -> None:
        shop = in_the_environment
        shop.sql(*CORRUPTIONS["stock without a movement"][:2])
        result = self.run("--repair")
        lines = result.output.splitlines()
        assert result.exit_code == 1
        assert lines[0].startswith(f"not mended: stock  {shop.ids['lamp']}  there is: lamp has")
        assert lines[1].startswith("    because ")
        assert "You can: count the shelf" in lines[1]
        assert lines[-1] == "1 NOT MENDED: 1 stock"

    def test_tells_a_program_the_same(self, in_the_environment: Any) -> None:
        shop = in_the_environment
        shop.sql(*CORRUPTIONS["stock without a movement"][:2])
        shop.sql(*CORRUPTIONS["a shipped order whose delivery is gone"][:2])
        result = self.run("--repair", "--json")
        answer = json.loads(result.output)
        assert (result.exit_code, answer["ok"]) == (1, False)
        assert [(each["kind"], each["mended"]) for each in answer["repairs"]] == [("stock", False), ("delivery", True)]
        assert answer["repairs"][0]["can_do"].startswith("count the shelf")
        assert (answer["repairs"][1]["service"], answer["repairs"][1]["expected"]) == ("delivery", "delivery PENDING")

    def test_repairs_nothing_unless_it_is_told_so(self, in_the_environment: Any) -> None:
        shop = in_the_environment
        shop.sql(*CORRUPTIONS["a shipped order whose delivery is gone"][:2])
        before = everything_in(shop)
        assert self.run().exit_code == 1
        assert self.run("--dry-run").exit_code == 2
        assert everything_in(shop) == before


def test_an_order_that_somebody_is_working_on_is_left_and_the_others_are_mended(shop: Any) -> None:
    for name in ("shipped", "on_the_way"):
        shop.sql("delivery", f"DELETE FROM deliveries WHERE order_id = '{{{name}}}'")
    shop.sql("sales", "ALTER ROLE sales SET lock_timeout = '100ms'")
    with closing(psycopg2.connect(shop.postgres.url(f"{shop.name}_sales"))) as connection:
        connection.cursor().execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (shop.ids["shipped"],))
        results = repair(shop)
    shop.sql("sales", "ALTER ROLE sales SET lock_timeout = '5s'")

    assert {each.deviation.id for each in results if isinstance(each, Mended)} == {shop.ids["on_the_way"]}
    busy = [each for each in results if isinstance(each, Left)]
    assert {each.deviation.id for each in busy} == {shop.ids["shipped"]}
    assert "lock timeout" in busy[0].advice.why
    assert mended(repair(shop)) == [("delivery", "delivery")]


def test_what_has_been_mended_meanwhile_is_not_mended_again(shop: Any) -> None:
    """Between the finding and the lock somebody else was faster."""
    shop.sql(*CORRUPTIONS["a shipped order whose delivery is gone"][:2])
    found = found_in(shop)
    assert mended(repair(shop)) == [("delivery", "delivery")]
    with closing(Repairs(shop.settings, "ada")) as repairs:
        assert list(repairs.mend(found)) == []
