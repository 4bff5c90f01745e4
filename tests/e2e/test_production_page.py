"""docs/production.md: each command that it prints runs as it is printed, told what compose tells its operator."""

import contextlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import psycopg2
import pytest
from kombu import Connection, Producer
from ruamel.yaml import YAML
from uuid_utils.compat import uuid7

from celeryconfig import EXCHANGE, QUEUE_OF_TASK
from chassis.settings import PREFIX
from tests.e2e.shop import Shop
from tests.e2e.stack import PYTHON, ROOT, Stack, until
from tests.integration.pipeline.strange import TASK, message_to

PAGE = ROOT / "docs/production.md"
COMPOSE = ROOT / "docker-compose.yml"


def printed() -> list[str]:
    """Every line of the page's shell blocks that is a command of ours, without its comment, in the page's order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("conveyor ")]


@pytest.fixture
def operator(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The environment of compose's operator, leading to this stack; and a folder with nothing of ours in it."""
    told = YAML(typ="safe").load(COMPOSE)["services"]["operator"]["environment"]
    known = stack.variables()
    # On this machine, what is not Conveyor's: the interpreter's own variables and the login.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return environment | {name: known[name] for name in told} | {"PYTHONPATH": str(ROOT), "PWD": str(tmp_path)}


def flagged(shop: Shop) -> tuple[str, str]:
    """An order that needs somebody, and the message about it that nobody could work on."""
    product = shop.add_product(stock=5)
    order = shop.place(product)["id"]
    shop.becomes(order, "Pending Shipment")
    # A worker turns a message away that has expired; whoever replays it sends what it says.
    lines = [{"product_id": product, "quantity": 1}]
    sent = message_to(TASK, {"order_id": order, "kind": "place", "no": 0, "lines": lines})
    headers = {**sent.headers, "expires": "2001-01-01T00:00:00"}
    with Connection(shop.stack.setting("broker_url")) as connection, connection.channel() as channel:
        Producer(channel).publish(
            sent.body, exchange=EXCHANGE, routing_key=QUEUE_OF_TASK[TASK], headers=headers,
            content_type="application/json", content_encoding="utf-8", serializer=None,
        )  # fmt: skip
    until(lambda: shop.order(order)["needs_attention"])
    [(message,)] = shop.stack.ask("sales", "SELECT message_id FROM quarantine WHERE order_id = %(id)s", id=order)
    return order, str(message)


def unknown_to_sales(stack: Stack, shop: Shop) -> str:
    """An order that delivery and inventory know and sales does not, as after a restore."""
    order, product = str(uuid7()), shop.add_product(stock=5)
    with contextlib.closing(psycopg2.connect(stack.setting("delivery_database_url"))) as connection, connection:
        connection.cursor().execute(
            "INSERT INTO deliveries (order_id, status, address) VALUES (%s, 'PENDING', '1 Lost Lane')", [order],
        )  # fmt: skip
    with contextlib.closing(psycopg2.connect(stack.setting("inventory_database_url"))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO reservations (order_id, state) VALUES (%s, 'held')", [order])
        cursor.execute(
            "INSERT INTO stock_movements (id, product_id, order_id, movement_type, quantity, reason)"
            " VALUES (%s, %s, %s, 'reserve', -1, 'reserved')", [str(uuid7()), product, order],
        )  # fmt: skip
        cursor.execute("UPDATE products SET stock_quantity = stock_quantity - 1 WHERE id = %s", [product])
    return order


def filled_in(command: str, shop: Shop) -> list[str]:
    """The words of a printed command, with an order and a message that it means something for."""
    order = message = ""
    if "orphan" in command:
        order = unknown_to_sales(shop.stack, shop)
    elif "ORDER" in command or "MESSAGE" in command:
        order, message = flagged(shop)
    words = shlex.split(command.replace('"$(id -un)"', "ada"))
    return [{"ORDER": order, "MESSAGE": message}.get(word, word) for word in words[1:]]


@pytest.mark.rabbitmq
@pytest.mark.parametrize("command", [each for each in printed() if " --to " not in each])
def test_a_printed_command_runs_as_printed(
    command: str, stack: Stack, shop: Shop, operator: dict[str, str], tmp_path: Path
) -> None:
    words = filled_in(command, shop)

    answer = subprocess.run(
        [PYTHON, "-m", "conveyor", *words],
        env=operator, cwd=tmp_path, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert answer.returncode == 0, f"{command}\n{answer.stdout}{answer.stderr}"
    assert "Traceback" not in answer.stderr
    if "quarantine drop" in command or "order show" in command or "quarantine show" in command:
        stack.conveyor("order", "resume", words[2] if "order" in command else order_of(stack, words[2]))
    settle(stack)


def order_of(stack: Stack, message: str) -> str:
    [(order,)] = stack.ask("sales", "SELECT order_id FROM quarantine WHERE message_id = %(id)s", id=message)
    return str(order)


def settle(stack: Stack) -> None:
    """Drop what waits in the quarantine, so that the stack is as it was found."""
    for (message,) in stack.ask("sales", "SELECT message_id FROM quarantine WHERE state = 'waiting'"):
        stack.conveyor("quarantine", "drop", str(message), "--reason", "the page's test", "--yes")


def test_the_page_prints_commands_of_every_kind() -> None:
    page = "\n".join(printed())
    for words in ("status", "reconcile", "migrate", "order list", "order show", "order resume", "order compensate",
                  "quarantine list", "quarantine show", "quarantine replay", "quarantine drop", "orphan keep",
                  "orphan give-up"):  # fmt: skip
        assert f"conveyor {words}" in page


def test_the_page_says_what_conveyor_stands_for_before_it_uses_it() -> None:
    text = PAGE.read_text()
    assert text.index("conveyor() {") < text.index("```sh\nconveyor ")
    assert "operator" in YAML(typ="safe").load(COMPOSE)["services"]
