"""The tasks of the delivery worker, as Celery calls them, on a real database; no broker is needed for that."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from celeryconfig import QUEUE_OF_TASK
from chassis.database import transaction
from chassis.outbox import outbox
from tasks import delivery as worker

Sessions = sessionmaker[Session]
LAST_LINK = {
    "task": "sales.update_order_status",
    "args": [],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}


def work(sessions: Sessions, task: Any, *orders: dict[str, Any]) -> list[dict[str, Any]]:
    """A message with these orders is worked on; returns what goes on to the next link."""
    task.push_request(id=str(uuid7()), chain=[LAST_LINK], delivery_info={"redelivered": False})
    try:
        task.run(list(orders))
    finally:
        task.pop_request()
    with transaction(sessions) as session:
        row = session.execute(select(outbox).order_by(outbox.c.id.desc()).limit(1)).one()
    assert (row.task, row.links) == ("sales.update_order_status", [])
    return list(row.bundle)


def order(order_id: str, kind: str, no: int, **facts: Any) -> dict[str, Any]:
    return {"order_id": order_id, "kind": kind, "no": no, "correlation_id": "c-1", **facts}


def test_an_order_is_dispatched_moved_reported_and_not_cancelled_any_more(delivery_sessions: Sessions) -> None:
    order_id = str(uuid7())
    dispatch = order(order_id, "place", 0, address="12 rue de la Paix")
    leave = order(order_id, "move", 5, to_status="IN_TRANSIT", expected_version=1, actor="operator")
    ask, stop = order(order_id, "report", 0), order(order_id, "cancel", 1)

    [dispatched] = work(delivery_sessions, worker.create_delivery, dispatch)
    [left] = work(delivery_sessions, worker.update_delivery, leave)
    [reported] = work(delivery_sessions, worker.report_status, ask)
    [stopped] = work(delivery_sessions, worker.cancel_delivery, stop)

    pending = {"outcome": "ok", "delivery_status": "PENDING", "delivery_version": 1}
    on_its_way = {"delivery_status": "IN_TRANSIT", "delivery_version": 2}
    refused = {"outcome": "refused", "reason": "already_in_transit", "detail": "The parcel is on its way."}
    assert dispatched == order(order_id, "place", 0) | pending
    assert left == leave | {"outcome": "ok"} | on_its_way
    assert reported == ask | {"outcome": "ok"} | on_its_way
    assert stopped == stop | refused | on_its_way


def test_an_order_in_a_bundle_does_not_share_the_fate_of_its_neighbour(delivery_sessions: Sessions) -> None:
    gone, fine = str(uuid7()), str(uuid7())
    work(delivery_sessions, worker.cancel_delivery, order(gone, "cancel", 1))

    answers = work(
        delivery_sessions,
        worker.create_delivery,
        order(gone, "place", 0, address="Lyon"),
        order(fine, "place", 0, address="Lyon"),
    )

    assert [(each["order_id"], each["outcome"], each.get("reason")) for each in answers] == [
        (gone, "refused", "cancelled"),
        (fine, "ok", None),
    ]


@pytest.mark.parametrize("task", sorted(name for name in QUEUE_OF_TASK if name.startswith("delivery.")))
def test_the_worker_knows_every_task_of_its_queue(task: str) -> None:
    assert task in worker.app.tasks
