"""The table of queues and the registered tasks are the same, and each belongs to the service that consumes it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import celeryconfig
from celeryconfig import QUEUE_OF_TASK, queues_of
from tests.conftest import SERVICES

ROOT = Path(__file__).parents[2]
_REGISTERED = """
import json, tasks.{service}
from tasks.app import app
print(json.dumps([sorted(app.tasks), sorted(app.amqp.queues.consume_from)]))
"""


def worker_of(service: str) -> tuple[set[str], set[str]]:
    """The tasks that a service's worker knows and the queues that it consumes, as a process of its own would find."""
    code = _REGISTERED.format(service=service)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known, consumed = json.loads(answer.stdout.splitlines()[-1])
    return {each for each in known if not each.startswith("celery.")}, set(consumed)


def test_every_task_has_a_queue_and_every_queue_a_task_and_each_worker_knows_its_own_and_no_other() -> None:
    workers = {service: worker_of(service) for service in SERVICES}

    assert set.union(*(known for known, _ in workers.values())) == set(QUEUE_OF_TASK)
    for service, (known, consumed) in workers.items():
        assert known == {each for each in QUEUE_OF_TASK if each.startswith(f"{service}.")}
        assert consumed == set(queues_of(service)) == {QUEUE_OF_TASK[each] for each in known}


def test_no_queue_is_consumed_by_two_services() -> None:
    for queue in set(QUEUE_OF_TASK.values()):
        assert len({task.partition(".")[0] for task, its in QUEUE_OF_TASK.items() if its == queue}) == 1


def test_every_queue_is_declared_once_and_is_durable_with_its_dead_letters_behind_it() -> None:
    assert [each.name for each in celeryconfig.task_queues] == sorted(set(QUEUE_OF_TASK.values()))
    for queue in celeryconfig.task_queues:
        arguments = queue.queue_arguments
        assert (queue.durable, arguments["x-queue-type"]) == (True, "quorum")
        dead = celeryconfig.dead_queue(queue.name)
        assert dead.name == f"{queue.name}.dead"
        assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == (
            dead.exchange.name,
            dead.routing_key,
        )


def test_routing_keys_have_no_dots() -> None:
    """kombu binds ``#.<key>`` for delays: a key with a dot would get its neighbours' messages."""
    assert not [each.routing_key for each in celeryconfig.task_queues if "." in each.routing_key]


@pytest.mark.parametrize("package", ["chassis", *SERVICES, "gateway_app", "tasks", "conveyor"])
def test_no_code_but_the_table_names_a_queue(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        texts = {each.value for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Constant)}
        assert texts & set(QUEUE_OF_TASK.values()) == set(), path
