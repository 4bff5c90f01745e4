"""Messages that come twice, late, out of order, together, or kill their worker; each by itself harms nobody.

What a story does not wait for, the sweep's checker does: it sends one more order the whole way, behind everything.
"""

from collections.abc import Callable

from sqlalchemy import text

from celeryconfig import QUEUE_OF_TASK, worker_prefetch_multiplier
from chassis.database import transaction
from sales import faults
from tests.crashpoints.sweep import SERVICES, Death, Sweep, Violation, case
from tests.integration.pipeline.processes import wait_until

#: Each row is locked a moment after the one before it, on connections that are known by their name.
SLOW_LOCKS = """
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from inventory import models
models._LOCK_PRODUCTS = text(str(models._LOCK_PRODUCTS).replace("SELECT id", "SELECT pg_sleep(0.3), id"))
def name(connection, _):
    connection.cursor().execute("SET application_name = 'slow'")
    connection.commit()
event.listen(Engine, "connect", name)
"""


def slow_work(module: str, step: str) -> str:
    """Its work takes a second, in which the broker can take notice of an acknowledgement that came too early."""
    return f"""
import time
from {module} import {step} as work
def slowly(session, orders):
    time.sleep(1)
    return work(session, orders)
import {module}
{module}.{step} = slowly
"""


#: The same by the service whose worker has this to do for an order that is placed.
SLOW_WORK = {
    "inventory": slow_work("inventory.service", "reserve_stock"),
    "sales": slow_work("sales.pricing", "record_inventory_responses"),
    "delivery": slow_work("delivery.service", "create_delivery"),
}

#: With every guard it is three.
MOST_DEATHS = 6


def a_copy_finds_the_shelf_empty(sweep: Sweep) -> None:
    """The first chain takes the last unit and stalls before the parcel; a copy of it finds no stock."""
    product = sweep.add_product(stock=1)
    send = _caught(sweep, "inventory.check_availability", lambda: sweep.place(product).insist())
    sweep.stock[product] -= 1
    sweep.hold("delivery.create_delivery")
    send()
    wait_until(sweep.held)
    send()
    sweep.goes_on()
    sweep.let_go()


def a_parcel_comes_after_its_cancel(sweep: Sweep) -> None:
    """The stock is taken, and the message to delivery is late: the cancel was faster."""
    sweep.hold("delivery.create_delivery")
    order = sweep.place(sweep.add_product(), units=2).insist()["id"]
    wait_until(sweep.held)
    sweep.request("POST", f"/orders/{order}/cancel").insist()
    sweep.becomes(order, "Cancelled")
    sweep.let_go()


def a_refused_cancel_comes_again(sweep: Sweep) -> None:
    """The parcel had left, and the cancel was refused. Then its delivery fails, and a copy of the cancel arrives."""
    product = sweep.add_product()
    order = sweep.shipped(product, units=2)
    cancel = sweep.request("POST", f"/orders/{order}/cancel")
    send = _caught(sweep, "delivery.cancel_delivery", cancel.insist)
    _courier(sweep, order, "IN_TRANSIT")
    send()
    sweep.becomes(order, "In Transit")
    _courier(sweep, order, "FAILED")
    sweep.becomes(order, "Delivery Failed")
    send()


def old_news_of_a_parcel(sweep: Sweep) -> None:
    """The parcel has been delivered when the message arrives that says it has left."""
    order = sweep.shipped(sweep.add_product())
    sweep.hold("sales.update_order_status")
    _courier(sweep, order, "IN_TRANSIT")
    wait_until(sweep.held)
    _courier(sweep, order, "DELIVERED")
    sweep.becomes(order, "Delivered")
    sweep.let_go()


def the_last_unit_breaks_while_its_worker_is_dead(sweep: Sweep) -> None:
    """The worker that reserves it dies before its commit; when another repeats that, there is nothing left."""
    product = sweep.add_product(stock=1)
    with Death(sweep, case("inventory.reserve_stock (place): before commit")):
        sweep.place(product).insist()
        wait_until(lambda: sweep.pipeline.dead("worker-inventory"))
        broken = {"quantity": -1, "reason": "broken"}
        sweep.request("POST", f"/products/{product}/stock", broken, keyed=True).insist()
        sweep.stock[product] -= 1


def two_workers_want_the_same_products(sweep: Sweep) -> None:
    """More orders for the same two products than one worker takes, for it and its twin, which has every guard."""
    running, ready_files = sweep.pipeline.running, sweep.pipeline.ready_files
    running["worker-one"], ready_files["worker-one"] = running.pop("worker-inventory"), ready_files["worker-inventory"]
    sweep.pipeline.start("worker", "inventory", SLOW_LOCKS)
    before = _deadlocks(sweep)
    products = [sweep.add_product(), sweep.add_product()]
    body = {**sweep.shop.draft(products[0]), "items": [{"product_id": each, "quantity": 1} for each in products]}
    orders = []
    for number in range(1, 2 * worker_prefetch_multiplier + 1):
        sweep.hold("inventory.reserve_stock")
        orders.append(sweep.request("POST", "/orders", body, keyed=True).insist()["id"])
        wait_until(lambda number=number: sweep.held() == number)  # type: ignore[misc]
    for service in SERVICES:
        sweep.execute(service, "UPDATE held SET alone = true")  # not in one message, but each for whoever is free
    sweep.let_go()
    for order in orders:
        sweep.becomes(order, "Pending Shipment")
    for each in products:
        sweep.stock[each] -= len(orders)
    # PostgreSQL counts for sure what a connection has seen once the connection is closed.
    for name in ("worker-one", "worker-inventory"):
        sweep.pipeline.kill(name)
    slow = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slow'"
    wait_until(lambda: sweep.ask("inventory", slow) == [(0,)])
    deadlocks = _deadlocks(sweep) - before
    sweep.restart("worker-inventory")
    if deadlocks:
        raise Violation(f"deadlock: {deadlocks} in inventory's database")


def an_order_kills_its_workers(sweep: Sweep) -> None:
    """Somebody starts every dead worker again; a neighbour waits in the queue behind the killer."""
    killer = sweep.place(sweep.add_product(stock=100), units=13).insist()["id"]
    wait_until(lambda: sweep.pipeline.dead("worker-inventory"))
    product = sweep.add_product()
    neighbour = sweep.place(product).insist()["id"]
    sweep.stock[product] -= 1
    query = "SELECT status, needs_attention FROM orders WHERE id = :order"

    deaths = 1

    def given_up() -> bool:
        nonlocal deaths
        if sweep.pipeline.dead("worker-inventory"):
            deaths += 1
            sweep.restart("worker-inventory")
        return sweep.ask("sales", query, order=killer) == [("Pending", True)]

    sweep.restart("worker-inventory")
    wait_until(lambda: given_up() or deaths > MOST_DEATHS)
    if deaths > MOST_DEATHS:
        raise Violation(f"killer: order {killer} has killed {deaths} workers and goes on")
    sweep.becomes(neighbour, "Pending Shipment")
    with transaction(sweep.pipeline.sessions["sales"]) as session:
        waiting = text("SELECT message_id FROM quarantine WHERE order_id = :order")
        for message in session.execute(waiting, {"order": killer}).scalars().all():
            faults.drop_message(session, message, "test", "it kills workers")
    sweep.request("POST", f"/orders/{killer}/cancel").insist()
    sweep.becomes(killer, "Cancelled")


def a_scan_comes_late(sweep: Sweep) -> None:
    """The courier was without a network when the parcel was on its way, and tells it when it was delivered."""
    order = sweep.shipped(sweep.add_product())
    _courier(sweep, order, "DELIVERED")
    sweep.becomes(order, "Delivered")
    _courier(sweep, order, "IN_TRANSIT", occurred_at="2026-01-01T08:00:00Z", event_id="e-1")
    sweep.goes_on()


def _caught(sweep: Sweep, task: str, act: Callable[[], object]) -> Callable[[], None]:
    """Do this, and catch the message of this task that comes of it. Returns what sends it, as often as is wanted."""
    sweep.hold(task)
    act()
    wait_until(sweep.held)
    found = [row for each in SERVICES for row in sweep.ask(each, "DELETE FROM held RETURNING links, bundle")]
    [(links, bundle)] = found
    return lambda: sweep.publish(QUEUE_OF_TASK[task], task, bundle, links)


def _courier(sweep: Sweep, order: str, status: str, **told: str) -> None:
    [(delivery,)] = sweep.ask("delivery", "SELECT id FROM deliveries WHERE order_id = :order", order=order)
    sweep.request("PATCH", f"/deliveries/{delivery}/status", {"status": status, **told}).insist()


def _deadlocks(sweep: Sweep) -> int:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(sweep.ask("inventory", query)[0][0])
