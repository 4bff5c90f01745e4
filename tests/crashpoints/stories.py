"""What happens around a death: how the process is brought to its point, and how it has to end.

Each story does what leads there, then ``with death:`` what makes the process die, and then waits for the end that was
promised to the client. What must be true of every end is not repeated here: ``Sweep.check`` sees to it.
"""

from collections.abc import Callable
from copy import copy
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.database import transaction
from sales import faults, placing, service
from tests.crashpoints.points import POISONED
from tests.crashpoints.sweep import Death, Request, Sweep, Violation
from tests.integration.pipeline.processes import wait_until

Story = Callable[[Sweep, Death], None]

_FLAG = "UPDATE orders SET needs_attention = true WHERE id = :order"


def _while_dying(death: Death, request: Request) -> dict[str, Any]:
    """Send a request whose way leads to the death; then, as a client does, until it is answered."""
    with death:
        request.attempt()
    return request.insist()


def place(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product()
    order = _while_dying(death, sweep.place(product, units=2))
    sweep.stock[product] -= 2
    sweep.becomes(order["id"], "Pending Shipment")


def refused(sweep: Sweep, death: Death) -> None:
    """There is not enough of it."""
    order = _while_dying(death, sweep.place(sweep.add_product(stock=1), units=2))
    sweep.becomes(order["id"], "Rejected")


def cancel(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product()
    order = sweep.shipped(product, units=2)
    _while_dying(death, sweep.request("POST", f"/orders/{order}/cancel"))
    sweep.stock[product] += 2
    sweep.becomes(order, "Cancelled")


def cancel_by_status(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product()
    order = sweep.shipped(product, units=2)
    _while_dying(death, sweep.request("PATCH", f"/orders/{order}/status", {"status": "Cancelled"}))
    sweep.stock[product] += 2
    sweep.becomes(order, "Cancelled")


def late(sweep: Sweep, death: Death) -> None:
    """A cancel overtakes the chain that it cancels, which comes to the tombstones afterwards."""
    sweep.hold("inventory.reserve_stock")
    order = sweep.place(sweep.add_product(), units=2).insist()["id"]
    wait_until(sweep.held)
    sweep.request("POST", f"/orders/{order}/cancel").insist()
    sweep.becomes(order, "Cancelled")
    with death:
        sweep.let_go()


def move(sweep: Sweep, death: Death) -> None:
    order = sweep.shipped(sweep.add_product())
    _while_dying(death, sweep.request("PATCH", f"/orders/{order}/status", {"status": "In Transit"}))
    sweep.becomes(order, "In Transit")


def courier(sweep: Sweep, death: Death) -> None:
    order = sweep.shipped(sweep.add_product())
    _scan(sweep, death, order)
    sweep.becomes(order, "In Transit")


def scan(sweep: Sweep, death: Death) -> None:
    """A courier scans a parcel that is cancelled, and an operator sees to it."""
    product = sweep.add_product()
    order = sweep.shipped(product, units=2)
    sweep.request("POST", f"/orders/{order}/cancel").insist()
    sweep.stock[product] += 2
    sweep.becomes(order, "Cancelled")
    _scan(sweep, death, order)
    await_flag(sweep, order)
    noted = sweep.ask("sales", "SELECT count(*) FROM order_events WHERE kind = 'scanned' AND order_id = :o", o=order)
    if noted != [(1,)]:
        raise Violation(f"order {order}: one scan was noted {noted[0][0]} times")
    settle_quarantine(sweep, order)


def _scan(sweep: Sweep, death: Death, order: str) -> None:
    """The courier scans the parcel, until he is answered; the scan is there once."""
    [(delivery,)] = sweep.ask("delivery", "SELECT id FROM deliveries WHERE order_id = :order", order=order)
    body = {"status": "IN_TRANSIT", "location": "Hub Lyon-Est", "event_id": "e-1"}
    _while_dying(death, sweep.request("PATCH", f"/deliveries/{delivery}/status", body))
    kept = sweep.ask("delivery", "SELECT count(*) FROM delivery_logs WHERE delivery_id = :id AND event_id = 'e-1'",
                     id=delivery)  # fmt: skip
    if kept != [(1,)]:
        raise Violation(f"the scan of delivery {delivery} is there {kept[0][0]} times")


def report(sweep: Sweep, death: Death) -> None:
    """The courier's news was lost, and the sweeper asks."""
    order = sweep.shipped(sweep.add_product())
    _lose(sweep, "delivery.move", order)
    silent = "UPDATE orders SET updated_at = now() - interval '2 days' WHERE id = :order RETURNING id"
    with death:
        sweep.ask("sales", silent, order=order)
    sweep.becomes(order, "In Transit")


def register(sweep: Sweep, death: Death) -> None:
    body = {"name": "Grace", "email": f"{uuid7().hex}@example.com", "address": "1 Main Street"}
    customer = _while_dying(death, sweep.request("POST", "/customers", body, keyed=True))
    assert customer["name"] == "Grace"


def add_product(sweep: Sweep, death: Death) -> None:
    body = {"sku": uuid7().hex, "name": "Lamp", "price": "2.50", "stock_quantity": 7}
    product = _while_dying(death, sweep.request("POST", "/products", body, keyed=True))
    sweep.stock[product["id"]] = 7


def change_product(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product()
    changed = _while_dying(death, sweep.request("PATCH", f"/products/{product}", {"price": "3.75"}))
    if changed["price"] != "3.75":
        raise Violation(f"product {product} costs {changed['price']}, not 3.75")


def adjust_stock(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product(stock=3)
    body = {"quantity": 4, "reason": "counted"}
    _while_dying(death, sweep.request("POST", f"/products/{product}/stock", body, keyed=True))
    sweep.stock[product] += 4


def open_delivery(sweep: Sweep, death: Death) -> None:
    """Somebody dispatches an order by hand; its chain takes the delivery that it finds."""
    product = sweep.add_product()
    sweep.hold("delivery.create_delivery")
    order = sweep.place(product).insist()["id"]
    sweep.stock[product] -= 1
    wait_until(sweep.held)
    by_hand = sweep.request("POST", "/deliveries", {"order_id": order, "address": "by hand"}, done=(409,))
    _while_dying(death, _not_public(sweep, "delivery", by_hand))
    sweep.let_go()
    sweep.becomes(order, "Pending Shipment")


def after_poison(sweep: Sweep, death: Death, task: str) -> None:
    """One order of a bundle cannot be worked on: its neighbour goes its way, and it ends before people.

    The neighbour is the order of the story that the task is a link of; the poison names an order that has shipped.
    """
    bystander = sweep.shipped(sweep.add_product())
    death.first = lambda: sweep.poison(task, bystander)
    tasks = {task}
    story = POISONED[task][0]
    if story == "fault":
        tasks.add("inventory.check_availability")
        death.first = lambda: [sweep.poison(each, bystander) for each in tasks]  # type: ignore[func-returns-value]
        story = "place"
    STORIES[story](sweep, death)
    query = "SELECT task FROM quarantine WHERE state = 'waiting' AND order_id = :order"
    sweep.until(
        lambda: {row[0] for row in sweep.ask("sales", query, order=bystander)} == tasks,
        f"the quarantine does not have {tasks} of {bystander}",
        lambda: sweep.ask("sales", query, order=bystander),
    )
    settle_quarantine(sweep, bystander)


def fault(sweep: Sweep, death: Death) -> None:
    """Nothing dies on the way to the fault; its record does."""
    bystander = sweep.shipped(sweep.add_product())
    death.first = lambda: sweep.poison("inventory.check_availability", bystander)
    place(sweep, death)
    await_quarantined(sweep, bystander)
    settle_quarantine(sweep, bystander)


def dead_letter(sweep: Sweep, death: Death) -> None:
    """A message that no worker knows what to do with."""
    order = sweep.shipped(sweep.add_product())
    with death:
        sweep.publish("order_status_queue", "sales.no_such_task", [{"order_id": order}], [])
    await_quarantined(sweep, order)
    settle_quarantine(sweep, order)


def lost_place(sweep: Sweep, death: Death) -> None:
    """The message of an order is lost, and younger orders have overtaken it."""
    product = sweep.add_product()
    with death:
        order = _lose(sweep, "place", product)
        sweep.shipped(product)
        _an_hour_passes(sweep)
    sweep.stock[product] -= 1
    sweep.becomes(order, "Pending Shipment")


def lost_cancel(sweep: Sweep, death: Death) -> None:
    product = sweep.add_product()
    order, other = sweep.shipped(product), sweep.shipped(product)
    with death:
        _lose(sweep, "cancel", order)
        sweep.request("POST", f"/orders/{other}/cancel").insist()
        sweep.becomes(other, "Cancelled")
        _an_hour_passes(sweep)
    sweep.stock[product] += 2
    sweep.becomes(order, "Cancelled")


def lost_too_often(sweep: Sweep, death: Death) -> None:
    """The tenth re-send was lost, too: people have to look, and let it go on."""
    product = sweep.add_product()
    with death:
        order = _lose(sweep, "place", product, "UPDATE order_sagas SET attempts = 10 WHERE order_id = :order")
        sweep.shipped(product)
        _an_hour_passes(sweep)
    await_flag(sweep, order)
    with transaction(sweep.pipeline.sessions["sales"]) as session:
        service.resume(session, UUID(order), "test")
    sweep.stock[product] -= 1
    sweep.becomes(order, "Pending Shipment")


def clock_back(sweep: Sweep, death: Death) -> None:
    """The clock is set back while a message is lost and a parcel is under way: their rows are an hour ahead."""
    product = sweep.add_product()
    shipped = sweep.shipped(product)
    with death:
        lost = _lose(sweep, "place", product)
        moved = "sent_at = now() + interval '1 hour', deadline = now() + interval '61 minutes'"
        sweep.ask("sales", f"UPDATE order_sagas SET {moved} WHERE order_id = :id RETURNING order_id", id=lost)
        ahead = "UPDATE orders SET updated_at = now() + interval '1 hour' WHERE id = :id RETURNING id"
        sweep.ask("sales", ahead, id=shipped)
    right = "SELECT count(*) FROM orders WHERE id = :id AND updated_at <= now()"
    sweep.until(lambda: sweep.ask("sales", right, id=shipped) == [(1,)], "the parcel is an hour ahead")
    right = "SELECT count(*) FROM order_sagas WHERE order_id = :id AND sent_at <= now()"
    sweep.until(lambda: sweep.ask("sales", right, id=lost) == [(1,)], "the chain is an hour ahead")
    ago = "sent_at = sent_at - interval '2 hours', deadline = deadline - interval '2 hours'"
    sweep.execute("sales", f"UPDATE order_sagas SET {ago} WHERE order_id = '{lost}'")
    sweep.shipped(product)
    _an_hour_passes(sweep)
    sweep.stock[product] -= 1
    sweep.becomes(lost, "Pending Shipment")


def old_keys(sweep: Sweep, death: Death) -> None:
    """A key that is older than a month is forgotten."""
    old, key = UUID(int=(1_600_000_000_000 << 80) + uuid7().int % (1 << 60)), uuid7().hex
    with death:
        sweep.ask(
            "sales",
            "INSERT INTO customers (id, name, email, address, created_at, client, idempotency_key, request_hash)"
            " VALUES (:id, 'Ada', 'a@example.com', 'here', to_timestamp(1600000000), 'public', :key, '') RETURNING id",
            id=old,
            key=key,
        )
    query = "SELECT count(*) FROM customers WHERE idempotency_key = :key"
    sweep.until(lambda: sweep.ask("sales", query, key=key) == [(0,)], "an old key is remembered")


def _operate(
    sweep: Sweep, death: Death, command: tuple[str, ...], path: str, body: dict[str, str], done: str | None = None
) -> None:
    """An operator does something, by command or by the same request, and once more after the death.

    ``done`` is what the second time may be refused with, because the first has done it.
    """
    if death.process == " ".join(command[:2]):
        with death:
            sweep.command(*command)
        sweep.command(*command, done=done)
    else:
        request = _not_public(sweep, "sales", sweep.request("POST", path, {"actor": "ada", **body}))
        request.done = (409,) if done else ()
        _while_dying(death, request)


def _not_public(sweep: Sweep, service_name: str, request: Request) -> Request:
    request.shop = copy(sweep.shop)
    request.shop.url = sweep.setting(f"{service_name}_url")
    return request


def resume(sweep: Sweep, death: Death) -> None:
    """An operator lets a flagged order go on whose message is lost."""
    product = sweep.add_product()
    order = _lose(sweep, "place", product, _FLAG)
    sweep.stock[product] -= 1
    _operate(sweep, death, ("order", "resume", order), f"/orders/{order}/resume", {}, done="nothing to resume")
    sweep.becomes(order, "Pending Shipment")


def compensate(sweep: Sweep, death: Death) -> None:
    """An operator gives a flagged order up whose message is lost."""
    order = _lose(sweep, "place", sweep.add_product(), _FLAG)
    why = {"reason": "nobody waits for it"}
    command = ("order", "compensate", order, "--reason", why["reason"])
    _operate(sweep, death, command, f"/orders/{order}/compensate", why)
    sweep.becomes(order, "Cancelled")


def replay(sweep: Sweep, death: Death) -> None:
    """An operator sends a message again that had gone to the wrong queue."""
    product = sweep.add_product()
    order, message = _misdirected(sweep, product)
    sweep.stock[product] -= 1
    _operate(sweep, death, ("quarantine", "replay", message), f"/quarantine/{message}/replay", {})
    sweep.becomes(order, "Pending Shipment")


def drop(sweep: Sweep, death: Death) -> None:
    """An operator drops a message that had gone to the wrong queue, and lets the order go on by itself."""
    product = sweep.add_product()
    order, message = _misdirected(sweep, product)
    sweep.stock[product] -= 1
    why = {"reason": "not needed"}
    command = ("quarantine", "drop", message, "--reason", why["reason"], "--yes")
    _operate(sweep, death, command, f"/quarantine/{message}/drop", why)
    with transaction(sweep.pipeline.sessions["sales"]) as session:
        service.resume(session, UUID(order), "test")
    sweep.becomes(order, "Pending Shipment")


def repair(sweep: Sweep, death: Death) -> None:
    """A courier's news was lost, and reconcile mends what sales knows of the parcel."""
    order = sweep.shipped(sweep.add_product())
    _lose(sweep, "delivery.move", order)
    command = ("reconcile", "--repair", "--settle", "1")
    with death:
        sweep.command(*command)
    sweep.command(*command)
    sweep.becomes(order, "In Transit")
    [(records,)] = sweep.ask("sales", "SELECT count(*) FROM repairs WHERE subject = :order", order=order)
    if records != 1:
        raise Violation(f"the repair of {order} is on record {records} times")


def orphan(sweep: Sweep, death: Death) -> None:
    """Sales was restored from a backup in which this order was not yet; a person gives it up."""
    product = sweep.add_product()
    order = sweep.shipped(product)
    sweep.stock[product] += 1
    sweep.requests[:] = [each for each in sweep.requests if each.path != "/orders"]
    for table in ("order_events", "order_sagas", "order_items"):
        sweep.execute("sales", f"DELETE FROM {table} WHERE order_id = %s", order)
    sweep.execute("sales", "DELETE FROM orders WHERE id = %s", order)
    command = ("orphan", "give-up", order, "--reason", "the customer was paid back", "--yes")
    with death:
        sweep.command(*command)
    sweep.command(*command)


def await_flag(sweep: Sweep, order: str) -> None:
    query = "SELECT needs_attention FROM orders WHERE id = :order"
    sweep.until(lambda: sweep.ask("sales", query, order=order) == [(True,)], f"order {order} is not flagged")


def await_quarantined(sweep: Sweep, order: str) -> str:
    """The id of the one message of this order's that waits in the quarantine."""
    query = "SELECT message_id FROM quarantine WHERE order_id = :order AND state = 'waiting'"
    sweep.until(lambda: len(sweep.ask("sales", query, order=order)) == 1, f"no message of {order} in the quarantine")
    await_flag(sweep, order)
    return str(sweep.ask("sales", query, order=order)[0][0])


def settle_quarantine(sweep: Sweep, order: str) -> None:
    """People look at this order and its messages, and find nothing to do.

    A death may have doubled a message that nobody can work on: then people see it twice. So they look until all that
    was on its way has arrived.
    """
    await_flag(sweep, order)
    sweep.goes_on()
    left = text("SELECT message_id FROM quarantine WHERE order_id = :order AND state = 'waiting'")

    def settled() -> bool:
        with transaction(sweep.pipeline.sessions["sales"]) as session:
            waiting = session.execute(left, {"order": order}).scalars().all()
            for message in waiting:
                faults.drop_message(session, message, "test", "poison")
            if service.hold_order(session, UUID(order)).needs_attention:
                service.resume(session, UUID(order), "test")
        return not waiting and sweep.at_rest()

    sweep.until(settled, f"messages of {order} keep coming into the quarantine")


def _misdirected(sweep: Sweep, product: str) -> tuple[str, str]:
    """An order whose first message no worker of its queue knows: the order, and the message in the quarantine."""
    sweep.hold("inventory.check_availability")
    order = sweep.place(product).insist()["id"]
    [(task, links, bundle)] = sweep.ask("sales", "DELETE FROM held RETURNING task, links, bundle")
    sweep.publish("delivery_queue", task, bundle, links)
    return order, await_quarantined(sweep, order)


def _lose(sweep: Sweep, what: str, of: str, then: str = "SELECT :order") -> str:
    """Do something whose message was lost two hours ago, and let its deadline pass. Returns the order's id."""
    with transaction(sweep.pipeline.sessions["delivery" if what == "delivery.move" else "sales"]) as session:
        order = {"place": _place, "cancel": _cancel, "delivery.move": _move}[what](session, sweep, of)
        session.execute(text("DELETE FROM outbox"))
        if what != "delivery.move":
            ago = "sent_at = now() - interval '2 hours', started_at = now() - interval '2 hours'"
            late = f"UPDATE order_sagas SET deadline = now() - interval '1 s', {ago} WHERE order_id = :order"
            session.execute(text(late), {"order": order})
            session.execute(text(then), {"order": order})
    return order


def _an_hour_passes(sweep: Sweep) -> None:
    """The chains that have reached their end did so an hour ago: whatever has not got there is lost."""
    ago = "started_at = started_at - interval '1 hour', closed_at = closed_at - interval '1 hour'"
    sweep.execute("sales", f"UPDATE order_sagas SET {ago} WHERE reached_end")


def _place(session: Session, sweep: Sweep, product: str) -> str:
    draft = {"customer_id": UUID(sweep.shop.customer), "items": [{"product_id": UUID(product), "quantity": 1}]}
    return str(placing.place_order(session, draft, None, "test")[0]["id"])


def _cancel(session: Session, sweep: Sweep, order: str) -> str:
    return str(service.request_cancel(session, UUID(order), "test")["id"])


def _move(session: Session, sweep: Sweep, order: str) -> str:
    from delivery.scans import Scan, follow_courier
    from delivery.status import IN_TRANSIT

    query = text("SELECT id FROM deliveries WHERE order_id = :order")
    parcel = session.execute(query, {"order": order}).scalar_one()
    follow_courier(session, parcel, Scan(IN_TRANSIT), "test")
    return order


STORIES: dict[str, Story] = {
    each.__name__: each
    for each in (
        place, refused, cancel, cancel_by_status, late, move, courier, scan, report, register, add_product,
        change_product, adjust_stock, open_delivery, fault, dead_letter, lost_place, lost_cancel, lost_too_often,
        clock_back, old_keys,
        resume, compensate, replay, drop, repair, orphan,
    )
}  # fmt: skip
