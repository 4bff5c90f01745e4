"""A stack's life: it starts, is stopped, killed, started again, and shares its machine with others."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shop import Shop
from tests.e2e.stack import Stack, until


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    """A stack that has never run. On the stand-in broker: it starts faster."""
    stack = Stack(tmp_path / "fresh", embedded_broker="valkey")
    yield stack
    stack.clean_up()


@pytest.mark.rabbitmq
def test_asked_to_stop_it_leaves_no_process_behind_and_starts_again_with_its_data(shop: Shop) -> None:
    product = shop.add_product(stock=2)
    order = shop.place(product, prefer="wait=30")
    assert shop.stack.stop() == 0
    assert shop.stack.processes() == []
    assert shop.stack.described() is None
    shop.stack.start()
    assert shop.order(order["id"])["status"] == "Pending Shipment"
    assert shop.place(product, prefer="wait=30")["status"] == "Pending Shipment"
    assert shop.stock(product) == 0


@pytest.mark.rabbitmq
def test_a_killed_supervisor_stops_no_order_and_the_next_start_takes_over(shop: Shop) -> None:
    product, stack = shop.add_product(stock=2), shop.stack
    left = stack.described()
    assert left is not None
    stack.stop(signal.SIGKILL)
    assert shop.place(product, prefer="wait=30")["status"] == "Pending Shipment"
    before = len(stack.said())
    stack.start()
    stack.hears("Ended what an earlier run left behind", before)
    now = stack.described()
    assert now is not None
    servers = {"rabbitmq", "postgres", "valkey"}
    for name, pid in now["processes"].items():
        assert (pid == left["processes"][name]) == (name in servers), name
    assert shop.place(product, prefer="wait=30")["status"] == "Pending Shipment"
    running = {each.pid for each in stack.processes()}
    assert not {pid for name, pid in left["processes"].items() if name not in servers} & running


@pytest.mark.rabbitmq
def test_two_stacks_on_one_machine_know_nothing_of_each_other(shop: Shop, on_valkey: Stack) -> None:
    other = Shop(on_valkey, shop._pool)
    orders = {each: each.place(each.add_product(stock=1), prefer="wait=30") for each in (shop, other)}
    assert {order["status"] for order in orders.values()} == {"Pending Shipment"}
    assert shop.send("GET", f"/orders/{orders[other]['id']}").status == 404
    assert other.send("GET", f"/orders/{orders[shop]['id']}").status == 404


@pytest.mark.parametrize("setting", ["sales_port", "postgres_port"])
def test_where_a_port_is_taken_it_ends_with_one_line_that_says_which(fresh: Stack, setting: str) -> None:
    variable = f"CONVEYOR_{setting.upper()}"
    port = int(fresh.environment[variable])
    with socket.create_server(("127.0.0.1", port)):
        assert fresh.launch().wait(60) == 1
    last = fresh.said().strip().splitlines()[-1]
    assert last.startswith(f"conveyor: port {port} ({variable}) on 127.0.0.1 is taken by another program")
    assert "Traceback" not in fresh.said()
    assert fresh.processes() == []


def test_stopped_while_it_starts_it_leaves_nothing_behind(fresh: Stack) -> None:
    process = fresh.launch()
    until(lambda: "migrate" in (fresh.described() or {"processes": {}})["processes"] or "ready after" in fresh.said())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Traceback" not in fresh.said()
    assert fresh.processes() == []


def test_a_second_start_on_the_same_state_is_refused_and_harms_nothing(shop: Shop) -> None:
    refused = shop.stack.conveyor("run")
    assert refused.returncode == 1
    assert "a stack is already running" in refused.stderr.strip().splitlines()[-1]
    assert shop.place(shop.add_product(stock=1), prefer="wait=30")["status"] == "Pending Shipment"
