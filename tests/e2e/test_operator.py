"""What an operator does at the command line, on a stack that is found by its state directory alone."""

import json
import subprocess
from pathlib import Path

from tests.e2e.shop import Shop

FINE, REJECTED = 0, 3


def told(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def test_an_order_is_placed_watched_and_cancelled_at_the_command_line(shop: Shop) -> None:
    product = shop.add_product(stock=3)
    place = ("order", "place", "--customer", shop.customer, "--item")
    placed = shop.stack.conveyor(*place, f"{product}=2", "--json")
    order_id = json.loads(placed.stdout)["id"]
    watched = shop.stack.conveyor("order", "watch", order_id)
    assert watched.returncode == FINE, told(watched)
    assert "Pending -> Pending Shipment" in watched.stdout
    refused = shop.stack.conveyor(*place, f"{product}=2", "--wait", "20")
    assert (refused.returncode, "insufficient_stock" in refused.stdout) == (REJECTED, True), told(refused)
    cancelled = shop.stack.conveyor("order", "cancel", order_id, "--wait", "20")
    assert "Cancelled" in cancelled.stdout, told(cancelled)
    listed = shop.stack.conveyor("order", "list", "--customer", shop.customer)
    assert [line.split()[3] for line in listed.stdout.splitlines()] == ["Rejected", "Cancelled"]
    assert shop.stock(product) == 3


def test_a_shop_is_run_at_the_command_line(shop: Shop) -> None:
    def run(*arguments: str) -> str:
        result = shop.stack.conveyor(*arguments)
        assert result.returncode == FINE, told(result)
        return result.stdout

    sku, email = f"Lamp-{shop.customer[-8:]}", f"Grace-{shop.customer[-8:]}@Example.com"
    run("product", "add", sku, "--name", "Lamp", "--price", "12.50", "--stock", "3")
    run("customer", "add", "--name", "Grace\x1b[2J", "--email", email, "--address", "1 Navy Yard")
    assert r"Grace\x1b[2J" in run("customer", "show", email.upper())
    run("stock", "adjust", sku.upper(), "--add", "4", "--reason", "counted")
    run("product", "change", sku.lower(), "--price", "13.00")
    run("order", "place", "--customer", email.lower(), "--item", f"{sku.lower()}=2", "--wait", "20")
    (order,) = json.loads(run("order", "list", "--customer", email, "--json"))
    assert (order["status"], order["total_amount"]) == ("Pending Shipment", "26.00")
    run("delivery", "move", order["id"], "IN_TRANSIT", "--location", "Hub")
    (moving,) = [line for line in run("delivery", "list").splitlines() if order["id"] in line]
    assert moving.endswith("IN_TRANSIT")
    kinds = [line.split()[2] for line in run("stock", "ledger", sku).splitlines()[2:]]
    assert kinds == ["reserve", "adjust", "adjust"]


def test_status_and_logs_are_those_of_the_stack(shop: Shop) -> None:
    status = shop.stack.conveyor("status")
    assert status.returncode == FINE, told(status)
    processes = [line.split() for line in status.stdout.splitlines()]
    assert ["worker-sales", str(shop.stack.pid("worker-sales")), "running"] in processes
    logs = shop.stack.conveyor("logs", "relay", "-n", "3")
    assert {line.split(" ")[0] for line in logs.stdout.splitlines()} == {
        "relay-sales",
        "relay-inventory",
        "relay-delivery",
    }


def test_latency_is_measured_on_the_stack_and_leaves_nothing_behind(shop: Shop) -> None:
    measured = shop.stack.conveyor("latency", "--orders", "3", "--json")
    assert measured.returncode == FINE, told(measured)
    answer = json.loads(measured.stdout)
    assert 0 < answer["post"]["p50"] < answer["to_pending_shipment"]["p50"]
    checked = shop.stack.conveyor("reconcile")
    assert checked.returncode == FINE, told(checked)


def test_the_benchmark_measures_the_stack_and_finds_the_databases_right(shop: Shop, tmp_path: Path) -> None:
    small = ("--orders", "60", "--clients", "4", "--products", "20", "--out", str(tmp_path), "--json")
    measured = shop.stack.conveyor("bench", "orders", "flash", "reads", *small)
    assert measured.returncode == FINE, told(measured)
    results = json.loads(measured.stdout)["results"]
    assert results["orders"]["statuses"] == {"Pending Shipment": 60}
    assert sum(results["orders"]["series"]["completed"]) == 60
    assert results["flash"]["statuses"] == {"Pending Shipment": 12, "Rejected": 48}
    kinds = {"gateway", "sales", "workers", "relays", "postgres", "rabbitmq"}
    assert kinds <= set(results["orders"]["cpu_ms_per_order"])
    assert results["orders"]["memory_bytes"]["gateway"] > 10_000_000
    assert results["reads"]["reads"] == 60
    assert min(results[each]["beside"]["accepted_per_second"] for each in ("flash", "reads")) > 0
    assert json.loads((tmp_path / "bench.json").read_text())["results"] == results
