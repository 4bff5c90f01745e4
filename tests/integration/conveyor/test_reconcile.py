"""Each check of reconcile is seen failing: a table of corruptions, and the deviations that each has to raise."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from kombu import Connection

from chassis.settings import settings
from conveyor.databases import DatabaseDown, Databases
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.reconcile import facts
from conveyor.reconcile.command import reconcile as command
from conveyor.reconcile.run import LOOKS, Findings, reconcile
from tasks.topology import declare

NOBODY = "00000000-0000-7000-8000-000000000000"
EVERYBODY = "ffffffff-ffff-7fff-bfff-ffffffffffff"


def found_in(shop: Any, wait: Callable[[float], None] = lambda _seconds: None, **options: Any) -> list[Any]:
    return list(reconcile(shop.settings, Findings(), wait=wait, **options))


def stand_still(_seconds: float) -> None:
    pytest.fail("an order that stands still was looked at a second time")


#: what is done to which database, and the (kind, id) of every deviation that it causes
CORRUPTIONS: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    "stock without a movement": (
        "inventory",
        "UPDATE products SET stock_quantity = stock_quantity + 1 WHERE id = '{lamp}'",
        [("stock", "lamp")],
    ),
    "a movement without stock": (
        "inventory",
        "INSERT INTO stock_movements (id, product_id, movement_type, quantity, reason)"
        " VALUES ('" + NOBODY + "', '{lamp}', 'adjust', 5, 'forged')",
        [("stock", "lamp")],
    ),
    "negative stock": (
        "inventory",
        "ALTER TABLE products DROP CONSTRAINT ck_products_stock_not_negative;"
        " UPDATE products SET stock_quantity = -3 WHERE id = '{rare}';"
        " INSERT INTO stock_movements (id, product_id, movement_type, quantity, reason)"
        " VALUES ('" + NOBODY + "', '{rare}', 'adjust', -3, 'forged')",
        [("negative_stock", "rare")],
    ),
    "a shipped order whose reservation is gone": (
        "inventory",
        "DELETE FROM reservations WHERE order_id = '{shipped}'",
        [("reservation", "shipped")],
    ),
    "an order on its way whose reservation was released": (
        "inventory",
        "UPDATE reservations SET state = 'released', reason = 'x' WHERE order_id = '{on_the_way}'",
        [("reservation", "on_the_way")],
    ),
    "a delivered order whose reservation was refused": (
        "inventory",
        "UPDATE reservations SET state = 'refused', reason = 'x' WHERE order_id = '{delivered}'",
        [("reservation", "delivered")],
    ),
    "a failed delivery whose stock was released": (
        "inventory",
        "UPDATE reservations SET state = 'released', reason = 'x' WHERE order_id = '{failed}'",
        [("reservation", "failed")],
    ),
    "a rejected order that holds": (
        "inventory",
        "UPDATE reservations SET state = 'held', reason = NULL WHERE order_id = '{rejected_late}'",
        [("reservation", "rejected_late")],
    ),
    "a cancelled order that holds": (
        "inventory",
        "UPDATE reservations SET state = 'held', reason = NULL WHERE order_id = '{cancelled}'",
        [("reservation", "cancelled")],
    ),
    "a cancelled order without a tombstone in inventory": (
        "inventory",
        "DELETE FROM reservations WHERE order_id = '{cancelled_early}'",
        [("reservation", "cancelled_early")],
    ),
    "a pending order that was released": (
        "inventory",
        "UPDATE reservations SET state = 'released', reason = 'x' WHERE order_id = '{pending_held}'",
        [("reservation", "pending_held"), ("ledger", "pending_held")],
    ),
    "stock taken twice": (
        "inventory",
        "DROP INDEX ix_stock_movements_order_id_product_id_movement_type;"
        " INSERT INTO stock_movements SELECT '" + NOBODY + "', product_id, order_id, movement_type, quantity, reason"
        " FROM stock_movements WHERE order_id = '{on_the_way}';"
        " UPDATE products SET stock_quantity = stock_quantity - 1 WHERE id = '{lamp}'",
        [("ledger", "on_the_way")],
    ),
    "one of two products not taken": (
        "inventory",
        "DELETE FROM stock_movements WHERE order_id = '{shipped}' AND product_id = '{chair}';"
        " UPDATE products SET stock_quantity = stock_quantity + 1 WHERE id = '{chair}'",
        [("ledger", "shipped")],
    ),
    "stock taken of a product that was not ordered": (
        "inventory",
        "INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason)"
        " VALUES ('" + NOBODY + "', '{chair}', '{on_the_way}', 'reserve', -1, 'forged');"
        " UPDATE products SET stock_quantity = stock_quantity - 1 WHERE id = '{chair}'",
        [("ledger", "on_the_way")],
    ),
    "a cancelled order's stock that was not given back": (
        "inventory",
        "DELETE FROM stock_movements WHERE order_id = '{cancelled}' AND movement_type = 'release';"
        " UPDATE products SET stock_quantity = stock_quantity - 7 WHERE id = '{lamp}'",
        [("ledger", "cancelled")],
    ),
    "a pending order's reservation without a movement": (
        "inventory",
        "DELETE FROM stock_movements WHERE order_id = '{pending_held}';"
        " UPDATE products SET stock_quantity = stock_quantity + 1 WHERE id = '{lamp}'",
        [("ledger", "pending_held")],
    ),
    "another quantity on a line": (
        "sales",
        "UPDATE order_items SET quantity = 2 WHERE order_id = '{on_the_way}'; "
        "UPDATE orders SET total_amount = 5 WHERE id = '{on_the_way}'",
        [("ledger", "on_the_way")],
    ),
    "an order without lines": (
        "sales",
        "DELETE FROM order_items WHERE order_id = '{rejected_by_check}'",
        [("lines", "rejected_by_check")],
    ),
    "a wrong total": (
        "sales",
        "UPDATE orders SET total_amount = total_amount + 0.01 WHERE id = '{shipped}'",
        [("total", "shipped")],
    ),
    "a wrong total of a pending order": (
        "sales",
        "UPDATE orders SET total_amount = 1 WHERE id = '{pending_held}'",
        [("total", "pending_held")],
    ),
    "a shipped order without a total": (
        "sales",
        "UPDATE orders SET total_amount = NULL WHERE id = '{shipped}'",
        [("total", "shipped")],
    ),
    "a line without a price in a priced order": (
        "sales",
        "UPDATE order_items SET price = NULL WHERE order_id = '{shipped}' AND product_id = '{chair}'",
        [("total", "shipped")],
    ),
    "a shipped order whose delivery is gone": (
        "delivery",
        "DELETE FROM deliveries WHERE order_id = '{shipped}'",
        [("delivery", "shipped"), ("delivery_version", "shipped")],
    ),
    "a delivery that moved unheard": (
        "delivery",
        "UPDATE deliveries SET status = 'DELIVERED', version = 3 WHERE order_id = '{on_the_way}'",
        [("delivery", "on_the_way"), ("delivery_version", "on_the_way")],
    ),
    "a delivery cancelled under a shipped order": (
        "delivery",
        "UPDATE deliveries SET status = 'CANCELLED' WHERE order_id = '{shipped}'",
        [("delivery", "shipped"), ("delivery_version", "shipped")],
    ),
    "an order that knows an older version": (
        "sales",
        "UPDATE orders SET delivery_version = 1 WHERE id = '{delivered}'",
        [("delivery_version", "delivered")],
    ),
    "a pending order ahead of its delivery": (
        "sales",
        "UPDATE orders SET delivery_version = 9, delivery_status = 'IN_TRANSIT' WHERE id = '{pending_sent}'",
        [("delivery_version", "pending_sent")],
    ),
    "an order's status that is not its delivery's": (
        "sales",
        "UPDATE orders SET status = 'Delivered' WHERE id = '{on_the_way}'",
        [("delivery", "on_the_way")],
    ),
    "a delivery of a rejected order": (
        "delivery",
        "INSERT INTO deliveries (order_id, status, address) VALUES ('{rejected_by_check}', 'PENDING', 'x')",
        [("delivery", "rejected_by_check"), ("delivery_version", "rejected_by_check")],
    ),
    "a parcel on its way for a cancelled order": (
        "delivery",
        "UPDATE deliveries SET status = 'IN_TRANSIT', address = 'x', version = version + 1"
        " WHERE order_id = '{cancelled}'",
        [("delivery", "cancelled"), ("delivery_version", "cancelled")],
    ),
    "a cancelled order without a tombstone in delivery": (
        "delivery",
        "DELETE FROM deliveries WHERE order_id = '{cancelled_early}'",
        [("delivery", "cancelled_early"), ("delivery_version", "cancelled_early")],
    ),
    "a delivery made before the stock was held": (
        "delivery",
        "INSERT INTO deliveries (order_id, status, address) VALUES ('{pending}', 'PENDING', 'x')",
        [("delivery", "pending")],
    ),
    "a delivery of a pending order that nobody cancelled": (
        "delivery",
        "UPDATE deliveries SET status = 'CANCELLED' WHERE order_id = '{pending_sent}'",
        [("delivery", "pending_sent")],
    ),
    "two reservations of an order": (
        "inventory",
        "ALTER TABLE reservations DROP CONSTRAINT pk_reservations;"
        " INSERT INTO reservations (order_id, state) VALUES ('{shipped}', 'held')",
        [("reservation", "shipped")],
    ),
    "two deliveries of an order": (
        "delivery",
        "ALTER TABLE deliveries DROP CONSTRAINT uq_deliveries_order_id;"
        " INSERT INTO deliveries (order_id, status, address) VALUES ('{shipped}', 'PENDING', 'x')",
        [("duplicate_delivery", "shipped")],
    ),
    "a delivery that went on after it was delivered": (
        "delivery",
        "INSERT INTO delivery_logs (delivery_id, status) SELECT id, 'DELIVERED' FROM deliveries"
        " WHERE order_id = '{shipped}'",
        [("scans", "shipped")],
    ),
    "a reservation of no order": (
        "inventory",
        "INSERT INTO reservations (order_id, state) VALUES ('" + NOBODY + "', 'held')",
        [("orphan_reservation", NOBODY)],
    ),
    "a movement of no order": (
        "inventory",
        "INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason)"
        " VALUES ('" + NOBODY + "', '{chair}', '" + EVERYBODY + "', 'reserve', -1, 'forged');"
        " UPDATE products SET stock_quantity = stock_quantity - 1 WHERE id = '{chair}'",
        [("orphan_ledger", EVERYBODY)],
    ),
    "a delivery of no order": (
        "delivery",
        "INSERT INTO deliveries (order_id, status, address) VALUES ('" + EVERYBODY + "', 'PENDING', 'x')",
        [("orphan_delivery", EVERYBODY)],
    ),
    "an order that is gone": (
        "sales",
        "DELETE FROM order_items WHERE order_id = '{shipped}'; DELETE FROM order_sagas WHERE order_id = '{shipped}';"
        " DELETE FROM orders WHERE id = '{shipped}'",
        [("orphan_reservation", "shipped"), ("orphan_ledger", "shipped"), ("orphan_delivery", "shipped")],
    ),
    "a pending order whose saga is closed": (
        "sales",
        "UPDATE order_sagas SET closed_at = now(), deadline = NULL WHERE order_id = '{pending}'",
        [("saga", "pending")],
    ),
    "a cancelling order whose saga is that of its placing": (
        "sales",
        "UPDATE order_sagas SET kind = 'place' WHERE order_id = '{cancelling}'",
        [("saga", "cancelling")],
    ),
    "a pending order without a saga": (
        "sales",
        "DELETE FROM order_sagas WHERE order_id = '{pending}'",
        [("saga", "pending")],
    ),
    "an open saga of a shipped order": (
        "sales",
        "UPDATE order_sagas SET closed_at = NULL, deadline = now() WHERE order_id = '{shipped}'",
        [("saga", "shipped")],
    ),
    "a message that was not sent": (
        "inventory",
        "INSERT INTO outbox (task, links, bundle) VALUES ('inventory.reserve_stock', '[]', '[]')",
        [("outbox", "inventory")],
    ),
    "a message in quarantine whose order is not flagged": (
        "sales",
        "INSERT INTO quarantine (message_id, order_id, queue, body, headers, reason)"
        " VALUES ('m-1', '{shipped}', 'q', '[]', '[]', 'boom')",
        [("quarantine", "m-1")],
    ),
    "a message in quarantine of no order": (
        "sales",
        "INSERT INTO quarantine (message_id, queue, body, headers, reason) VALUES ('m-2', 'q', '[]', '[]', '')",
        [("quarantine", "m-2")],
    ),
}


def test_nothing_is_wrong_with_orders_that_the_services_made(shop: Any) -> None:
    assert found_in(shop) == []


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_corruption_is_found_and_nothing_else(request: pytest.FixtureRequest, corruption: str) -> None:
    service, statements, expected = CORRUPTIONS[corruption]
    shop = request.getfixturevalue("own_shop" if "DROP " in statements else "shop")
    shop.sql(service, statements)
    found = found_in(shop)
    assert [(each.kind, each.id) for each in found] == [(kind, shop.ids.get(id_, id_)) for kind, id_ in expected]
    assert all(each.found and each.expected for each in found)


@pytest.mark.parametrize("size", [1, 3])
def test_orders_on_the_edge_of_a_range_are_read_once(shop: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "RANGE", size)
    monkeypatch.setattr("conveyor.reconcile.stock.BATCH", size)
    findings = Findings()
    shop.sql("delivery", "DELETE FROM deliveries WHERE order_id = '{shipped}'")
    found = list(reconcile(shop.settings, findings, wait=lambda _seconds: None))
    assert [each.kind for each in found] == ["delivery", "delivery_version"]
    assert findings.checked["orders"] == len([each for each in shop.ids if each not in ("lamp", "chair", "rare")]) - 1
    assert findings.checked["products"] == 3


def test_a_range_of_orders_is_not_joined_line_by_line(shop: Any) -> None:
    """With nested loops, which the planner likes for ranges of UUIDs, a million orders took hours."""
    with Databases(shop.settings) as databases, databases.reading("sales") as connection:
        query = facts.chosen(facts._SALES, f"{{id}} BETWEEN '{NOBODY}' AND '{EVERYBODY}'")
        with connection.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {query}")
            plan = [line for (line,) in cursor.fetchall()]
    assert any("Join" in line for line in plan)
    assert not any("Nested Loop" in line for line in plan), plan


def test_a_noticed_message_in_quarantine_is_no_deviation(shop: Any) -> None:
    shop.sql("sales", CORRUPTIONS["a message in quarantine whose order is not flagged"][1])
    shop.sql("sales", "UPDATE orders SET needs_attention = true WHERE id = '{shipped}'")
    assert found_in(shop) == []


def test_an_order_that_stands_still_counts_at_once(shop: Any) -> None:
    shop.sql("sales", "UPDATE orders SET total_amount = 1 WHERE id = '{shipped}'")
    assert [each.kind for each in found_in(shop, stand_still)] == ["total"]


@pytest.mark.parametrize(
    ("service", "wrong", "right"),
    [
        (
            "inventory",
            "UPDATE reservations SET state = 'released', reason = 'x' WHERE order_id = '{pending_held}'",
            "UPDATE reservations SET state = 'held', reason = NULL WHERE order_id = '{pending_held}'",
        ),
        (
            "delivery",
            "UPDATE deliveries SET status = 'DELIVERED', version = 3, updated_at = now()"
            " WHERE order_id = '{on_the_way}'",
            "UPDATE deliveries SET status = 'IN_TRANSIT', version = 2 WHERE order_id = '{on_the_way}'",
        ),
        (
            "inventory",
            "INSERT INTO outbox (task, links, bundle) VALUES ('inventory.reserve_stock', '[]', '[]')",
            "DELETE FROM outbox",
        ),
    ],
)
def test_what_has_settled_at_the_second_look_does_not_count(shop: Any, service: str, wrong: str, right: str) -> None:
    shop.sql(service, wrong)
    waited = []

    def meanwhile(seconds: float) -> None:
        waited.append(seconds)
        shop.sql(service, right)

    assert found_in(shop, meanwhile, settle=10) == []
    assert waited == [10]


def test_an_order_that_keeps_moving_counts_in_the_end(shop: Any) -> None:
    shop.sql("inventory", "UPDATE reservations SET state = 'released', reason = 'x' WHERE order_id = '{pending_held}'")
    waited = []

    def meanwhile(seconds: float) -> None:
        waited.append(seconds)
        shop.sql("sales", "UPDATE orders SET updated_at = now() WHERE id = '{pending_held}'")

    assert [each.kind for each in found_in(shop, meanwhile)] == ["reservation", "ledger"]
    assert len(waited) == LOOKS


def test_after_a_drain_an_open_order_counts_unless_somebody_was_told(shop: Any) -> None:
    in_flight = ["cancelling", "pending", "pending_held", "pending_sent"]
    found = found_in(shop, settled=True)
    assert sorted((each.kind, each.id) for each in found) == sorted(("in_flight", shop.ids[each]) for each in in_flight)
    shop.sql("sales", "UPDATE orders SET needs_attention = true")
    assert found_in(shop, settled=True) == []


@pytest.mark.rabbitmq
def test_messages_in_a_dead_letter_queue_are_found(shop: Any, rabbitmq: RabbitMQ) -> None:
    shop.settings = replace(shop.settings, broker_url=rabbitmq.url())
    with Connection(rabbitmq.url()) as connection:
        declare(connection)
        assert found_in(shop) == []
        connection.Producer().publish("x", routing_key="order_status_queue.dead", exchange="", retry=False)
        found = found_in(shop)
        connection.default_channel.queue_purge("order_status_queue.dead")
    assert [(each.kind, each.id, each.found) for each in found] == [
        ("dead_letter", "order_status_queue.dead", "1 messages")
    ]


def test_a_database_that_is_down_is_named(shop: Any) -> None:
    nowhere = re.sub(r":\d+/", ":9/", shop.settings.delivery_database_url)
    shop.settings = replace(shop.settings, delivery_database_url=nowhere)
    with pytest.raises(DatabaseDown, match="delivery's database cannot be read"):
        found_in(shop)


@pytest.fixture
def in_the_environment(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for service in ("sales", "inventory", "delivery"):
        monkeypatch.setenv(f"CONVEYOR_{service.upper()}_DATABASE_URL", shop.settings.database_url(service))
    settings.cache_clear()
    yield shop
    settings.cache_clear()


def test_the_command_says_ok_and_what_it_checked(in_the_environment: Any) -> None:
    result = CliRunner().invoke(command, ["--settle", "0"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "OK: the databases agree"
    assert "3 products" in result.output
    assert "4 orders in flight" in result.output
    assert "not checked: dead-letter queues: CONVEYOR_BROKER_URL is not set" in result.output


def test_the_command_prints_a_line_for_each_deviation_and_fails(in_the_environment: Any) -> None:
    shop = in_the_environment
    shop.sql("sales", "UPDATE orders SET total_amount = 1 WHERE id = '{shipped}'")
    result = CliRunner().invoke(command, ["--settle", "0"])
    assert result.exit_code == 1
    line = f"total  {shop.ids['shipped']}  there is: total 1.00  should be: 15.00"
    assert result.output.splitlines()[0] == line
    assert result.output.splitlines()[-1] == "1 DEVIATIONS: 1 total"


def test_the_command_tells_a_program_the_same(in_the_environment: Any) -> None:
    shop = in_the_environment
    shop.sql("sales", "UPDATE orders SET total_amount = 1 WHERE id = '{shipped}'")
    result = CliRunner().invoke(command, ["--settle", "0", "--json"])
    answer = json.loads(result.output)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert answer["deviations"] == [
        {"kind": "total", "id": shop.ids["shipped"], "found": "total 1.00", "expected": "15.00"}
    ]
    assert answer["checked"]["orders"] == 14
