"""What one service says of an order, the next one on its chain understands: every link of every chain, every answer.

The chains, the receivers and the merging of an answer into its order are the real ones; the answers are all that a
step may say.
"""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest

import tasks.delivery
import tasks.inventory
import tasks.sales  # noqa: F401 - the three together know every task
from celeryconfig import QUEUE_OF_TASK
from delivery import messages as delivery
from delivery import scans as courier
from delivery.models import Delivery
from delivery.status import DeliveryStatus
from inventory import messages as inventory
from sales import messages as sales
from sales import saga
from sales.status import DELIVERY_OF_STATUS, STATUS_OF_DELIVERY
from tasks import step
from tasks.app import app

ORDER = UUID("01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3")
PRODUCT = UUID("01920f41-0a3e-7c11-8f5e-2b6d9e0c4a77")
NO_STOCK: dict[str, Any] = {"outcome": "refused", "reason": "insufficient_stock", "detail": "Lamp: 3 wanted, 2 there."}
LEFT: dict[str, Any] = {"outcome": "refused", "reason": "already_in_transit", "detail": "The parcel is on its way."}
NONE: dict[str, Any] = {"outcome": "refused", "reason": "no_delivery", "detail": "The order has no delivery."}
STANDS: dict[str, Any] = {"delivery_status": "IN_TRANSIT", "delivery_version": 2}
CATALOGUE = [inventory.CatalogueEntry(PRODUCT, "LAMP", "Lamp", Decimal("24.90"))]

ORDERS = {
    "place": saga.message(
        ORDER, "place", 0, "c-1", address="12 rue de la Paix", lines=[{"product_id": str(PRODUCT), "quantity": 2}]
    ),
    "cancel": saga.message(ORDER, "cancel", 1, "c-1"),
    "move": saga.message(ORDER, "move", 7, "c-1", to_status="IN_TRANSIT", expected_version=1, actor="operator"),
    "report": saga.message(ORDER, "report", 0, "c-1"),
}
CHAINS = {"place": saga.place, "cancel": saga.cancel, "move": saga.move, "report": saga.report}


def registered(task: str) -> dict[str, Any]:
    """What ``@step`` was given for this task: the type that it receives, and its handler."""
    return dict(inspect.getclosurevars(app.tasks[task].run.__func__).nonlocals)


def wire(thing: Any) -> Any:
    """Through an outbox row and a message, and out again."""
    return json.loads(json.dumps(thing))


def answers(task: str, order: Any) -> list[Any]:
    """Everything that the step may say of this order, which it has just received."""
    refused = getattr(order, "outcome", "ok") == "refused"
    match task:
        case "inventory.check_availability":
            refusal = inventory.Availability(ORDER, **NO_STOCK, catalogue=CATALOGUE)
            return [inventory.Availability(ORDER, catalogue=CATALOGUE), refusal]
        case "sales.record_inventory_response":
            return [sales.Recorded(order_id=ORDER, ended=refused)]
        case "inventory.reserve_stock":
            return [inventory.Reserved(ORDER, "ok"), inventory.Reserved(ORDER, **NO_STOCK)]
        case "inventory.release_stock":
            return [inventory.Released(ORDER, order.outcome)]
        case "delivery.create_delivery" if not refused:
            dispatched = delivery.Dispatched(order_id=ORDER, delivery_status="PENDING", delivery_version=1)
            cancelled = {"outcome": "refused", "reason": "cancelled", "detail": "The order was cancelled."}
            return [dispatched, delivery.Dispatched(order_id=ORDER, **cancelled, **STANDS)]
        case "sales.update_order_status":
            return [sales.Updated(order_id=ORDER)]
    if refused:
        return [delivery.Answer(order_id=ORDER, outcome="refused", reason=order.reason, detail=order.detail)]
    said = [{**STANDS}, {**STANDS, **LEFT}] + ([NONE] if task != "delivery.cancel_delivery" else [])
    return [delivery.Answer(order_id=ORDER, **each) for each in said]


def travels(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task of a chain with each order that may arrive there: ``(task, order)``."""
    links = [each["task"] for each in CHAINS[kind](ORDERS[kind]).tasks]
    arriving = [wire(ORDERS[kind])]
    for task in links:
        leaving = []
        for order in arriving:
            yield task, order
            for answer in answers(task, msgspec.convert(order, registered(task)["receives"])):
                leaving += step._answered(task, [order], [answer])
        arriving = [wire(each) for each in leaving]


TRAVELS = [(kind, task, order) for kind in CHAINS for task, order in travels(kind)]


@pytest.mark.parametrize(
    ("kind", "task", "order"),
    TRAVELS,
    ids=[f"{kind}-{task}-{order.get('reason', 'ok')}" for kind, task, order in TRAVELS],
)
def test_an_order_loads_at_every_step_and_nothing_that_is_meant_for_it_is_lost(
    kind: str, task: str, order: dict[str, Any]
) -> None:
    heard = msgspec.convert(order, registered(task)["receives"])

    meant = {name: order[name] for name in heard.__struct_fields__ if name in order}
    assert wire({name: msgspec.to_builtins(getattr(heard, name)) for name in meant}) == meant


def arrivals(kind: str, task: str) -> list[dict[str, Any]]:
    return [order for its, at, order in TRAVELS if (its, at) == (kind, task)]


def test_every_chain_is_travelled_to_its_end_well_and_refused() -> None:
    for kind in CHAINS:
        ends = {order.get("outcome", "ok") for order in arrivals(kind, "sales.update_order_status")}
        assert ends == {"ok", "refused"}, kind


def test_nothing_travels_further_than_to_the_last_who_reads_it() -> None:
    for order in arrivals("place", "inventory.reserve_stock"):
        assert "catalogue" not in order
        assert [each["quantity"] for each in order["lines"]] == [2]
    assert all("lines" not in order for order in arrivals("place", "delivery.create_delivery"))
    confirmed = [each for each in arrivals("place", "sales.update_order_status") if each["outcome"] == "ok"]
    assert confirmed
    assert all("address" not in order for order in confirmed)


def test_prices_arrive_as_they_were_told() -> None:
    [priced, _refused] = arrivals("place", "sales.record_inventory_response")
    response = msgspec.convert(priced, sales.InventoryResponse)
    assert [(each.product_id, each.name, each.price) for each in response.catalogue] == [
        (PRODUCT, "Lamp", Decimal("24.90"))
    ]


def test_an_answer_of_ok_wipes_the_reason_of_an_earlier_refusal() -> None:
    order = {**wire(ORDERS["report"]), **NONE}
    [onward] = step._answered("delivery.report_status", [order], [delivery.Answer(order_id=ORDER, **STANDS)])
    assert "reason" not in onward


def test_who_asked_for_a_move_is_still_known_at_its_end() -> None:
    assert {each["actor"] for each in arrivals("move", "sales.update_order_status")} == {"operator"}


def test_an_order_that_has_ended_travels_no_further() -> None:
    order = wire(ORDERS["place"])
    ended = sales.Recorded(order_id=ORDER, ended=True, outcome="refused", reason="price_changed")
    assert step._answered("sales.record_inventory_response", [order], [ended]) == []


def said_of_a_scan(monkeypatch: pytest.MonkeyPatch, parcel: Delivery) -> Any:
    """What delivery tells sales of a scan of this parcel: the link and the one order of its bundle."""
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(courier, "enqueue", lambda _session, links, bundle: sent.append((links, bundle)))
    monkeypatch.setattr(courier, "save", lambda _session, _held: None)
    known = SimpleNamespace(now=datetime(2026, 3, 2, 18, tzinfo=UTC), latest=None, id=None)
    monkeypatch.setattr(courier.queries, "remembered", lambda _session, _scans: [known])
    monkeypatch.setattr(courier, "lock_deliveries", lambda _session, _ids, wait: {17: parcel})
    monkeypatch.setattr(courier.queries, "find_deliveries", lambda _session, _ids: {17: {}})
    courier.follow_courier(None, 17, courier.Scan(DeliveryStatus.IN_TRANSIT, "Lyon"), "c-1")  # type: ignore[arg-type]
    [([link], [news])] = sent
    return link, news


def test_what_a_courier_reports_loads_at_sales(monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = Delivery(17, ORDER, DeliveryStatus.PENDING, 1, cancel_no=0, address="12 rue de la Paix", public_id=ORDER)

    link, news = said_of_a_scan(monkeypatch, parcel)

    assert wire(dict(link)) == wire(dict(saga.report(ORDERS["report"]).tasks[-1]))
    assert msgspec.convert(wire(news), sales.StatusUpdate) == sales.StatusUpdate(
        order_id=ORDER, kind="delivery", no=2, correlation_id="c-1", **STANDS
    )


def test_a_scan_of_a_cancelled_parcel_loads_at_sales(monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = Delivery(17, ORDER, DeliveryStatus.CANCELLED, 2, cancel_no=1, address=None, public_id=ORDER)

    _, news = said_of_a_scan(monkeypatch, parcel)

    assert msgspec.convert(wire(news), sales.StatusUpdate) == sales.StatusUpdate(
        order_id=ORDER,
        kind="scan",
        no=1772474400000000,
        correlation_id="c-1",
        detail="A courier scanned the cancelled parcel as IN_TRANSIT at Lyon, 2026-03-02 18:00 UTC.",
    )


@pytest.mark.parametrize(
    "bundle",
    [
        [ORDERS["place"]],
        [{"malformed": ["x"]}],
        [{"order_id": 7, "kind": 7, "no": "x", "correlation_id": []}],
        [{"order_id": []}],
        ["x"],
        [],
    ],
    ids=str,
)
def test_what_a_step_gives_up_loads_at_sales_whatever_it_was(
    bundle: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(step, "enqueue", lambda _session, links, faults, alone: sent.append((links, faults)))
    monkeypatch.setattr(step, "forget_attempts", lambda _session, _message_id: None)
    message = step.Message("m-1", "inventory.reserve_stock", bundle, [], True, {"id": "m-1"})

    step._record_fault(None, message, "KeyError: 'lines'")  # type: ignore[arg-type]

    [([link], [fault])] = sent
    assert link["task"] == "sales.record_fault"
    heard = msgspec.convert(wire(fault), sales.Fault)
    assert (heard.message_id, heard.reason, heard.body) == (
        "m-1",
        "KeyError: 'lines'",
        {"bundle": wire(bundle), "links": []},
    )


def test_the_chains_and_the_fault_are_all_the_messages_that_there_are() -> None:
    assert {task for _, task, _ in TRAVELS} | {"sales.record_fault"} == set(QUEUE_OF_TASK)


def test_sales_knows_every_state_that_a_delivery_of_a_living_order_has() -> None:
    assert set(STATUS_OF_DELIVERY) == set(DeliveryStatus) - {DeliveryStatus.CANCELLED}


@pytest.mark.parametrize("wanted", sorted(DELIVERY_OF_STATUS.values()))
def test_delivery_takes_every_move_that_sales_asks_for(wanted: str) -> None:
    order = {**wire(ORDERS["move"]), "to_status": wanted}
    assert msgspec.convert(order, delivery.UpdateDelivery).to_status == wanted


#: Printed by either release: every message of every chain, and what its own receivers make of those of the other.
_TRAVELS = "from tests.contract.test_messages import TRAVELS; import json; print(json.dumps(TRAVELS))"
_HEARD = """
import json, sys, msgspec
from tests.contract.test_messages import registered, wire
for kind, task, order in json.load(sys.stdin):
    heard = msgspec.convert(order, registered(task)["receives"])
    print(json.dumps(wire({name: msgspec.to_builtins(getattr(heard, name)) for name in heard.__struct_fields__})))
"""


def run(tree: Path, code: str, given: Any = None) -> str:
    """What this Python prints in the tree of a release."""
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_what_the_release_before_says_is_understood_and_nothing_of_it_is_lost(tree_before: Path) -> None:
    travels = json.loads(run(tree_before, _TRAVELS))
    assert travels
    for _, task, order in travels:
        heard = msgspec.convert(order, registered(task)["receives"])
        meant = {name: order[name] for name in heard.__struct_fields__ if name in order}
        understood = wire({name: msgspec.to_builtins(getattr(heard, name)) for name in meant})
        assert as_far_as(meant, understood) == meant, task


def as_far_as(known: Any, told: Any) -> Any:
    """What was told, without the fields, inside of it too, that ``known`` does not have."""
    if isinstance(known, dict):
        return {name: as_far_as(known[name], told[name]) for name in known if name in told}
    if isinstance(known, list) and len(known) == len(told):
        return [as_far_as(*each) for each in zip(known, told, strict=True)]
    return told


def test_control_a_field_that_is_lost_inside_of_another_is_found() -> None:
    told = {"catalogue": [{"name": "Lamp", "sku": "LAMP"}], "outcome": "ok"}
    assert as_far_as({"catalogue": [{"name": "Lamp"}], "outcome": "ok"}, told) == {
        "catalogue": [{"name": "Lamp"}],
        "outcome": "ok",
    }
    assert as_far_as(told, {"catalogue": [{"name": "Lamp"}], "outcome": "ok"}) != told
    assert as_far_as(told, {"catalogue": [], "outcome": "ok"}) != told


def test_the_release_before_understands_what_this_one_says_and_loses_nothing_that_it_knows(tree_before: Path) -> None:
    tasks_before = {task for _, task, _ in json.loads(run(tree_before, _TRAVELS))}
    known = [each for each in TRAVELS if each[1] in tasks_before]
    heard = [json.loads(line) for line in run(tree_before, _HEARD, given=wire(known)).splitlines()]
    for (_, task, order), fields in zip(known, heard, strict=True):
        meant = {name: order[name] for name in fields if name in order}
        understood = {name: fields[name] for name in meant}
        assert understood == as_far_as(understood, meant), task
