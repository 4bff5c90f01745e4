"""Orders that a restored sales database does not know: a person decides, and that is on record."""

from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from conveyor.reconcile.orphan import GivenUp, NoOrphan, ParcelHasLeft, give_up, keep
from conveyor.reconcile.orphan_command import orphan
from tests.conftest import SERVICES
from tests.integration.conveyor.test_reconcile import CORRUPTIONS, found_in
from tests.integration.conveyor.test_repair import everything_in, in_the_environment, rows  # noqa: F401

FORGET = (
    "DELETE FROM order_items WHERE order_id = '{{{0}}}'; DELETE FROM order_sagas WHERE order_id = '{{{0}}}';"
    " DELETE FROM orders WHERE id = '{{{0}}}'"
)


def forget(shop: Any, name: str) -> UUID:
    shop.sql("sales", FORGET.format(name))
    assert {each.id for each in found_in(shop)} == {shop.ids[name]}
    return UUID(shop.ids[name])


def lamps(shop: Any) -> int:
    return int(rows(shop, "inventory", "SELECT stock_quantity FROM products WHERE sku = 'lamp'")[0][0])


def test_one_that_is_given_up_gives_its_stock_back_and_is_not_sent(shop: Any) -> None:
    order_id, before = forget(shop, "shipped"), lamps(shop)
    give_up(shop.settings, order_id, "ada", "the customer was told")
    assert lamps(shop) == before + 5
    assert rows(shop, "delivery", f"SELECT status FROM deliveries WHERE order_id = '{order_id}'") == [("CANCELLED",)]
    assert found_in(shop) == []
    decided = [("ada", "orphan_given_up", str(order_id), "reservation held, delivery PENDING", "the customer was told")]
    for service in SERVICES:
        assert rows(shop, service, "SELECT actor, kind, subject, found, did FROM repairs") == decided


def test_one_whose_parcel_has_left_cannot_be_given_up(shop: Any) -> None:
    order_id = forget(shop, "on_the_way")
    before = everything_in(shop)
    with pytest.raises(ParcelHasLeft, match=r"The parcel is on its way\. Keep it"):
        give_up(shop.settings, order_id, "ada", "x")
    assert everything_in(shop) == before


def test_one_that_is_kept_stays_as_it_is_and_is_not_reported_any_more(shop: Any) -> None:
    order_id = forget(shop, "on_the_way")
    stock, deliveries = everything_in(shop)["inventory"], everything_in(shop)["delivery"]
    keep(shop.settings, order_id, "ada", "it is paid for")
    assert (everything_in(shop)["inventory"], everything_in(shop)["delivery"]) == (stock, deliveries)
    assert found_in(shop) == []


def test_what_was_decided_once_is_not_decided_again(shop: Any) -> None:
    order_id = forget(shop, "shipped")
    assert keep(shop.settings, order_id, "ada", "it is paid for")
    before = everything_in(shop)
    assert not keep(shop.settings, order_id, "bob", "again")
    assert everything_in(shop) == before
    assert give_up(shop.settings, order_id, "ada", "it is not paid for after all")
    before = everything_in(shop)
    assert not give_up(shop.settings, order_id, "bob", "again")
    with pytest.raises(GivenUp, match=f"order {order_id} was given up by ada at .*: there is nothing left to keep"):
        keep(shop.settings, order_id, "bob", "x")
    assert everything_in(shop) == before


def test_one_that_sales_knows_or_that_nobody_knows_is_no_orphan(shop: Any) -> None:
    for order_id, why in ((shop.ids["shipped"], "sales knows it"), (str(UUID(int=7)), "no database has heard of it")):
        for decide in (keep, give_up):
            with pytest.raises(NoOrphan, match=why):
                decide(shop.settings, UUID(order_id), "ada", "x")
    assert found_in(shop) == []


def test_what_was_decided_about_one_hides_nothing_of_an_order_that_sales_knows(shop: Any) -> None:
    order_id = forget(shop, "on_the_way")
    keep(shop.settings, order_id, "ada", "it is paid for")
    shop.sql(*CORRUPTIONS["a wrong total"][:2])
    assert [each.kind for each in found_in(shop)] == ["total"]


def test_the_command_does_both(in_the_environment: Any) -> None:  # noqa: F811
    shop = in_the_environment

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(orphan, [*arguments, "--reason", "x"])

    forget(shop, "shipped")
    assert "its stock is back" in run("give-up", shop.ids["shipped"], "--yes").output
    forget(shop, "on_the_way")
    assert "its parcel goes on" in run("keep", shop.ids["on_the_way"]).output
    assert CliRunner().invoke(orphan, ["keep", shop.ids["on_the_way"]]).exit_code == 2
    assert found_in(shop) == []
