"""Every command ends with one line where a URL has a password in it that is not percent-encoded."""

import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest

from conveyor.cli import MODULES
from tests.e2e.stack import ROOT

#: Each has a password that breaks it, in which SECRET stands before and behind what does.
URLS = {
    "CONVEYOR_SALES_DATABASE_URL": "postgresql://sales:SECRET#SECRET@db:5432/ecommerce_db",
    "CONVEYOR_INVENTORY_DATABASE_URL": "postgresql://inventory:SECRET/SECRET@one:5432,two:5432/inventory_db",
    "CONVEYOR_DELIVERY_DATABASE_URL": "postgresql://delivery:SECRET@SECRET@db/delivery_db",
    "CONVEYOR_BROKER_URL": "amqp://conveyor:SECRET[SECRET@rabbitmq:5672/conveyor",
    "CONVEYOR_REDIS_URL": "redis://:SECRET]SECRET@redis:6379/0",
    "CONVEYOR_GATEWAY_URL": "http://ada:SECRET#SECRET@gateway:3001",
    "CONVEYOR_SALES_URL": "http://ada:SECRET/SECRET@sales:3000",
}
#: What a command cannot do without on its command line; all others stand for themselves.
ARGUMENTS = {
    "order": ["list"], "product": ["list"], "stock": ["ledger", "MUG"], "customer": ["list"], "delivery": ["list"],
    "catalogue": ["load", "/dev/null"], "reset": ["--yes"], "quarantine": ["run"],
    "orphan": ["keep", "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10", "--reason", "x"], "replay": ["/dev/null"],
    "bench": ["cpu"], "serve": ["gateway"], "worker": ["sales"], "relay": ["inventory"],
}  # fmt: skip
COMMANDS = [["-m", "conveyor", name, *ARGUMENTS.get(name, [])] for name in MODULES] + [
    ["-m", "celery", "-A", "tasks.inventory", "worker"],
    ["-m", "celery", "-A", "tasks.app", "flower"],
    ["-m", "celery", "-A", "tasks.app", "inspect", "ping"],
]
CASES = list(zip(COMMANDS, cycle(URLS), strict=False)) + [(["-m", "conveyor", "status"], each) for each in URLS]


@pytest.mark.parametrize(("command", "variable"), CASES, ids=lambda each: each if isinstance(each, str) else each[-1])
def test_it_names_the_variable_and_says_percent_encode(command: list[str], variable: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    environment |= {variable: URLS[variable], "PYTHONPATH": str(ROOT), "CONVEYOR_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, *command],
        env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert said.count("\n") == 1, said
    assert said.startswith(f"conveyor: {variable} is no URL: in a password, percent-encode"), said
    assert "SECRET" not in said
