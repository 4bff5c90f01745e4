"""A customer's name, e-mail and address are in no log, whatever fails: ours, PostgreSQL's, the broker's, Redis'."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from sqlalchemy import text

from chassis.database import transaction
from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tests.integration.pipeline.processes import Pipeline, wait_until
from tests.integration.pipeline.strange import Strange, message_to

MARKER = "Lovelace-12-Rue-de-la-Paix"
ADDRESS = f"{MARKER}, Paris"


@contextmanager
def refusing(pipeline: Pipeline, service: str, table: str, columns: str) -> Iterator[None]:
    """Rows with the marker are refused by a constraint, whose error shows the row."""
    alter = f"ALTER TABLE {table}"
    with transaction(pipeline.sessions[service]) as session:
        session.execute(
            text(f"{alter} ADD CONSTRAINT no_marker CHECK (concat({columns}) NOT LIKE '%{MARKER}%') NOT VALID")
        )
    try:
        yield
    finally:
        with transaction(pipeline.sessions[service]) as session:
            session.execute(text(f"{alter} DROP CONSTRAINT no_marker"))


@contextmanager
def refusing_deletes(pipeline: Pipeline, service: str) -> Iterator[None]:
    """A relay cannot remove what it has sent, and the error has the message in it."""
    with transaction(pipeline.sessions[service]) as session:
        session.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'not this one: %', OLD.bundle::text; END $$"
            )
        )
        session.execute(text("CREATE TRIGGER refuse BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()"))
    try:
        yield
    finally:
        with transaction(pipeline.sessions[service]) as session:
            session.execute(text("DROP FUNCTION refuse() CASCADE"))


def log_of(pipeline: Pipeline, name: str) -> str:
    return (pipeline.folder / f"{name}.log").read_text()


def post(pipeline: Pipeline, path: str, body: Any) -> int:
    url = f"http://127.0.0.1:{pipeline.ports['serve-sales']}{path}"
    return int(urllib3.request("POST", url, json=body, timeout=30, retries=False).status)


@pytest.mark.timeout(240)
def test_no_log_has_a_value_of_a_statement_that_failed(
    pipeline: Pipeline, postgres: Postgres, rabbitmq: RabbitMQ, valkey: Valkey
) -> None:
    pipeline.environment["CONVEYOR_SALES_PORT"] = str(free_port())
    lamp = pipeline.add_product(10)
    person = {"name": MARKER, "email": f"{MARKER}@example.com", "address": ADDRESS}
    draft = {"customer_id": str(pipeline.customer), "items": [{"product_id": str(lamp), "quantity": 1}]}
    pipeline.start_all()
    pipeline.start("serve", "sales")

    # Web: a row of customers, and a message of an order, that the database refuses.
    with refusing(pipeline, "sales", "customers", "name, email, address"):
        assert post(pipeline, "/customers", person) == 500
    with refusing(pipeline, "sales", "outbox", "bundle::text"):
        assert post(pipeline, "/orders", {**draft, "delivery_address": ADDRESS}) == 500
    wait_until(lambda: log_of(pipeline, "serve-sales").count("unforeseen") == 2)

    # Steps: one that cannot store an address gives its order up, and the fault cannot be stored either.
    with (
        refusing(pipeline, "delivery", "deliveries", "address"),
        refusing(pipeline, "sales", "quarantine", "body::text"),
    ):
        pipeline.place(lamp, address=ADDRESS)
        wait_until(lambda: "order_given_up" in log_of(pipeline, "worker-delivery"))
        wait_until(lambda: log_of(pipeline, "worker-sales").count("step_failed") >= 3)
        pipeline.start("quarantine")
        wait_until(lambda: "kept_as_bytes" in log_of(pipeline, "quarantine"))

    # What never reaches a step.
    pipeline.publish("delivery_queue", message_to("delivery.unknown", {"order_id": MARKER, "address": ADDRESS}))
    pipeline.publish("delivery_queue", Strange("no JSON", f"[{ADDRESS}".encode(), {"task": "delivery.create_delivery"}))
    wait_until(lambda: log_of(pipeline, "quarantine").count('"quarantined"') >= 3)

    # A relay that cannot remove what it sent, a sweeper that cannot send.
    with refusing_deletes(pipeline, "sales"):
        pipeline.place(lamp, address=ADDRESS)
        wait_until(lambda: pipeline.dead("relay-sales"))
    pipeline.place(lamp, address=ADDRESS)
    with transaction(pipeline.sessions["sales"]) as session:  # its message is lost, and late
        session.execute(text("DELETE FROM outbox"))
        session.execute(text("UPDATE order_sagas SET deadline = now() - interval '1 hour' WHERE deadline IS NOT NULL"))
    with refusing(pipeline, "sales", "outbox", "bundle::text"):
        pipeline.start("sweeper", wait=False, CONVEYOR_QUIET_AFTER="0.1", CONVEYOR_SWEEP_EVERY="0.2")
        wait_until(lambda: pipeline.dead("sweeper"))

    logs = {each: each.read_text() for each in pipeline.folder.glob("*.log")}
    logs |= {each: each.read_text() for each in (postgres.log, rabbitmq.log, valkey.log) if Path(each).exists()}
    assert "23514" in "".join(logs.values())
    assert "P0001" in "".join(logs.values())
    found = {each.name: [line[:400] for line in said.splitlines() if MARKER in line] for each, said in logs.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
    reasons = pipeline.ask("sales", f"SELECT reason FROM quarantine WHERE reason LIKE '%{MARKER}%'")
    last_errors = [
        pipeline.ask(each, f"SELECT last_error FROM attempts WHERE last_error LIKE '%{MARKER}%'")
        for each in pipeline.sessions
    ]
    assert (reasons, last_errors) == ([], [[], [], []])
