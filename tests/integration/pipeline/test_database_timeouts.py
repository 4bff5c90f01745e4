"""PostgreSQL ends what takes too long in every process: asked on each connection that one of them makes."""

import json
from collections import defaultdict

import pytest

from conveyor.embedded.ports import free_port
from tests.integration.pipeline.processes import Pipeline, wait_until

#: Runs first in a process: each of its connections asks PostgreSQL for the time-outs that hold on it.
ASK = """
import json
from sqlalchemy import Engine, event
NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
@event.listens_for(Engine, "connect")
def ask(connection, _record):
    with connection.cursor() as cursor:
        held = {}
        for name in NAMES:
            cursor.execute(f"SHOW {name}")
            [held[name]] = cursor.fetchone()
    connection.rollback()
    with open("__FILE__", "a") as file:
        file.write(json.dumps(held) + "\\n")
"""
AS_SET = {"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"}
COMMANDS = (["order", "list"], ["quarantine", "list"], ["reconcile"], ["status"], ["migrate"])


@pytest.mark.timeout(120)
def test_the_time_outs_hold_in_every_process_and_command(pipeline: Pipeline) -> None:
    for service in ("sales", "inventory", "delivery", "gateway"):
        port = str(free_port())
        pipeline.environment |= {f"CONVEYOR_{service.upper()}_PORT": port}
        pipeline.environment |= {f"CONVEYOR_{service.upper()}_URL": f"http://127.0.0.1:{port}"}
    notes = {}

    def asking(name: str) -> str:
        notes[name] = pipeline.folder / f"{name}.asked"
        return ASK.replace("__FILE__", str(notes[name]))

    for service in ("sales", "inventory", "delivery"):
        for kind in ("worker", "relay", "serve"):
            pipeline.start(kind, service, asking(f"{kind}-{service}"), wait=False)
    pipeline.start("serve", "gateway", wait=False)
    pipeline.start("sweeper", patch=asking("sweeper"), wait=False)
    pipeline.start("quarantine", patch=asking("quarantine"), wait=False)
    pipeline.wait_for_ready()
    for command in COMMANDS:
        name = "-".join(command)
        pipeline.fork(name, f"{asking(name)}\nfrom conveyor.cli import main\nmain({command!r})").wait(60)
    product = pipeline.add_product(1)
    pipeline.wait_for([pipeline.place(product)], Pending_Shipment=1)
    for service in ("sales", "inventory", "delivery"):
        wait_until(lambda service=service: _answers(pipeline, f"serve-{service}"))  # type: ignore[misc]

    talks = [name for name in notes if name not in ("order-list", "status")]  # these ask the gateway
    wait_until(lambda: all(notes[name].exists() for name in talks))
    held = defaultdict(list)
    for name, file in notes.items():
        held[name] = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert {name: each for name in held for each in held[name] if each != AS_SET} == {}


def _answers(pipeline: Pipeline, name: str) -> bool:
    import urllib3

    url = f"http://127.0.0.1:{pipeline.ports[name]}/health/ready"
    return urllib3.request("GET", url, timeout=10, retries=False).status == 200
