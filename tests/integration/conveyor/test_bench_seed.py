"""The large shop that the benchmark puts in by SQL: its databases agree, and it is what it says."""

from typing import Any

from conveyor.bench.seed import seed
from conveyor.databases import Databases
from conveyor.reconcile.run import Findings, reconcile


def test_what_was_put_in_agrees_in_all_three_databases_and_leaves_the_stock_as_it_was(shop: Any) -> None:
    before = found_in(shop)
    stock = rows(shop, "inventory", "SELECT name, stock_quantity FROM products ORDER BY name")
    seed(shop.settings, "one", 200, [shop.ids["customer"]], [shop.ids["lamp"], shop.ids["chair"], shop.ids["rare"]])
    seed(shop.settings, "two", 100, [shop.ids["customer"]], [shop.ids["lamp"], shop.ids["chair"]])
    assert found_in(shop) == before
    assert rows(shop, "inventory", "SELECT name, stock_quantity FROM products ORDER BY name") == stock
    counted = dict(rows(shop, "sales", "SELECT status, count(*) FROM orders WHERE client = 'bench' GROUP BY status"))
    assert counted == {"Pending Shipment": 180, "Delivered": 90, "Rejected": 30}


def found_in(shop: Any) -> list[Any]:
    findings = Findings()
    return sorted(reconcile(shop.settings, findings, wait=lambda _seconds: None))


def rows(shop: Any, service: str, query: str) -> list[Any]:
    with Databases(shop.settings) as databases, databases.reading(service) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]
