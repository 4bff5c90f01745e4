"""What couriers and clerks ask delivery over HTTP, and what it tells sales of that."""

from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import outbox

Sessions = sessionmaker[Session]


def dispatch(client: FlaskClient, order_id: Any = None) -> dict[str, Any]:
    answer = client.post("/deliveries", json={"order_id": str(order_id or uuid7()), "address": "12 rue de la Paix"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def report(client: FlaskClient, delivery: dict[str, Any], status: str, headers: Any = None, **body: Any) -> Any:
    return client.patch(f"/deliveries/{delivery['id']}/status", json={"status": status, **body}, headers=headers)


def news_of(sessions: Sessions, delivery: dict[str, Any]) -> list[Any]:
    """The outbox rows about this delivery, oldest first."""
    with transaction(sessions) as session:
        rows = session.execute(select(outbox).order_by(outbox.c.id)).all()
    return [row for row in rows if row.bundle[0]["order_id"] == delivery["order_id"]]


def serial_of(sessions: Sessions, delivery: dict[str, Any]) -> int:
    """The serial of this delivery, which is shown nowhere."""
    query = text("SELECT id FROM deliveries WHERE public_id = :id")
    with transaction(sessions) as session:
        return int(session.execute(query, {"id": delivery["id"]}).scalar_one())
