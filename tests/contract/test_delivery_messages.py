"""What is said to delivery loads there, and what delivery says loads at those who hear it."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from celeryconfig import QUEUE_OF_TASK
from delivery import messages, service
from delivery.models import Delivery, LogEntry
from delivery.status import DeliveryStatus
from inventory.messages import ReleaseStock, Reserved
from sales import saga
from sales.messages import StatusUpdate
from sales.status import DELIVERY_OF_STATUS, STATUS_OF_DELIVERY

ORDER = UUID("01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3")
RECEIVERS: dict[str, type[Any]] = {
    "delivery.create_delivery": messages.CreateDelivery,
    "delivery.cancel_delivery": messages.CancelDelivery,
    "delivery.update_delivery": messages.UpdateDelivery,
    "delivery.report_status": messages.ReportStatus,
    "inventory.release_stock": ReleaseStock,
    "sales.update_order_status": StatusUpdate,
}
STANDS = {"delivery_status": "IN_TRANSIT", "delivery_version": 2}
OK = messages.Answer(order_id=ORDER, **STANDS)
DISPATCHED = messages.Dispatched(order_id=ORDER, delivery_status="PENDING", delivery_version=1)
REFUSED = messages.Answer(order_id=ORDER, outcome="refused", reason="version_mismatch", detail="Too late.", **STANDS)
NO_DELIVERY = messages.Answer(order_id=ORDER, outcome="refused", reason="no_delivery", detail="None.")


def said(kind: str, no: int, **facts: Any) -> dict[str, Any]:
    """An order as sales sends it, after its way over the wire."""
    return dict(json.loads(json.dumps(saga.message(ORDER, kind, no, "a-correlation-id", **facts))))


def after(order: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The order as a step hands it on: merged with the answer, without what is None."""
    merged = {**order, **msgspec.to_builtins(answer)}
    return {name: value for name, value in merged.items() if value is not None}


PLACED = said("place", 0, address="12 rue de la Paix", lines=[{"product_id": str(ORDER), "quantity": 2}])
CANCELLED = said("cancel", 1)
MOVED = said("move", 7, to_status="IN_TRANSIT", expected_version=1, actor="operator")
ASKED = said("report", 0)


@pytest.mark.parametrize(
    ("task", "order"),
    [
        ("delivery.create_delivery", after(PLACED, Reserved(order_id=ORDER, outcome="ok"))),
        (
            "delivery.create_delivery",
            after(PLACED, Reserved(order_id=ORDER, outcome="refused", reason="insufficient_stock", detail="1 left")),
        ),
        ("delivery.cancel_delivery", CANCELLED),
        ("delivery.update_delivery", MOVED),
        ("delivery.report_status", ASKED),
        ("sales.update_order_status", after(PLACED, DISPATCHED)),
        ("sales.update_order_status", after(PLACED, REFUSED)),
        ("inventory.release_stock", after(CANCELLED, OK)),
        ("inventory.release_stock", after(CANCELLED, REFUSED)),
        ("sales.update_order_status", after(MOVED, OK)),
        ("sales.update_order_status", after(MOVED, REFUSED)),
        ("sales.update_order_status", after(MOVED, NO_DELIVERY)),
        ("sales.update_order_status", after(ASKED, OK)),
        ("sales.update_order_status", after(ASKED, NO_DELIVERY)),
    ],
)
def test_an_order_loads_at_the_next_step_and_nothing_that_was_said_is_lost(task: str, order: dict[str, Any]) -> None:
    heard = msgspec.convert(order, RECEIVERS[task])

    for name in heard.__struct_fields__:
        if name in order:
            assert msgspec.to_builtins(getattr(heard, name)) == order[name]


def test_an_answer_of_ok_wipes_the_reason_of_an_earlier_refusal() -> None:
    assert "reason" not in after({**ASKED, "reason": "no_delivery"}, OK)


def test_an_address_ends_at_delivery() -> None:
    assert "address" not in after(PLACED, DISPATCHED)


def test_what_a_courier_reports_loads_at_sales(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(service, "enqueue", lambda _session, links, bundle: sent.append((links, bundle)))
    monkeypatch.setattr(service, "save", lambda _session, _held: None)
    delivery = Delivery(17, ORDER, DeliveryStatus.PENDING, version=1, cancel_no=0, address="12 rue de la Paix")

    service.move_delivery(None, delivery, LogEntry(DeliveryStatus.IN_TRANSIT), "a-correlation-id")  # type: ignore[arg-type]

    [(links, bundle)] = sent
    [link] = links
    [news] = json.loads(json.dumps(bundle))
    assert dict(link) == json.loads(json.dumps(saga.report(ASKED).tasks[-1]))
    assert msgspec.convert(news, StatusUpdate) == StatusUpdate(
        order_id=ORDER, kind="delivery", no=2, correlation_id="a-correlation-id", **STANDS
    )


def test_every_task_named_here_has_a_queue() -> None:
    assert set(RECEIVERS) <= set(QUEUE_OF_TASK)


def test_sales_knows_every_state_that_a_delivery_of_a_living_order_has() -> None:
    assert set(STATUS_OF_DELIVERY) == set(DeliveryStatus) - {DeliveryStatus.CANCELLED}


@pytest.mark.parametrize("wanted", sorted(DELIVERY_OF_STATUS.values()))
def test_delivery_takes_every_move_that_sales_asks_for(wanted: str) -> None:
    assert msgspec.convert({**MOVED, "to_status": wanted}, messages.UpdateDelivery).to_status == wanted
