"""Whoever makes a connection says how long its silence is borne; read from the source, so that none is forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("chassis", "sales", "inventory", "delivery", "gateway_app", "tasks", "conveyor", "migrations")
FILES = [ROOT / "celeryconfig.py", *(file for each in PACKAGES for file in sorted((ROOT / each).rglob("*.py")))]
#: What makes a connection -> a word that its arguments have to have: the kernel's time-outs, or one for each answer.
MAKERS = {
    "psycopg2.connect": {"POSTGRESQL"},
    "create_engine": {"connect_args"},
    "redis.Redis.from_url": {"socket_timeout", "limits"},
    "redis.ConnectionPool.from_url": {"socket_timeout"},
    "redis.Redis": {"socket_timeout"},
    "Connection": {"transport_options"},
}
#: Not a client's connection of ours: kombu's class is meant.
OTHER_CONNECTIONS = {"conveyor/web_process.py", "gateway_app/connection.py", "conveyor/embedded/fork_server.py"}


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """File and line, what is called, and every word in its arguments."""
    for file in FILES:
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in MAKERS:
                if called == "Connection" and name in OTHER_CONNECTIONS:
                    continue
                words = {each.arg or ast.unparse(each.value) for each in node.keywords}
                yield f"{name}:{node.lineno}", called, words


@pytest.mark.parametrize(("where", "called", "words"), [pytest.param(*each, id=each[0]) for each in calls()])
def test_every_connection_has_its_time_outs(where: str, called: str, words: set[str]) -> None:
    assert words & MAKERS[called], f"{where} calls {called} without {' or '.join(MAKERS[called])}"


def test_makers_of_every_kind_were_found() -> None:
    assert {"psycopg2.connect", "create_engine", "redis.ConnectionPool.from_url", "Connection"} <= {
        called for _, called, _ in calls()
    }
