"""Each process starts with nothing but its own service's code: it could move to a machine of its own tomorrow."""

import subprocess
import sys

import pytest

from tests.conftest import SERVICES

#: Imports everything in some packages while others cannot be imported; ``modules`` may be packages or modules.
_ALONE = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r} or name in {blocked!r}:
            raise ImportError(f"{{name}} is another process's business")

sys.meta_path.insert(0, Blocked())
for name in {modules!r}:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if not found.name.endswith(".env"):
            importlib.import_module(found.name)
"""
BROKER = {"celery", "kombu"}
OPERATOR = {"conveyor", "gateway_app"}


def import_alone(modules: list[str], blocked: set[str]) -> None:
    code = _ALONE.format(modules=modules, blocked=blocked)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def others(service: str) -> set[str]:
    return {each for each in SERVICES if each != service}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_and_its_migrations_need_no_other_service_and_no_worker(service: str) -> None:
    # Sales alone speaks of chains, which are Celery's; it needs no broker for that.
    broker = set() if service == "sales" else BROKER
    import_alone([service, f"migrations.{service}"], others(service) | OPERATOR | {"tasks"} | broker)


@pytest.mark.parametrize("service", SERVICES)
def test_a_worker_needs_no_other_service_and_no_web(service: str) -> None:
    import_alone([f"tasks.{service}"], others(service) | OPERATOR | {"flask", "flask_smorest", "marshmallow"})


@pytest.mark.parametrize("module", ["tasks.relay", "tasks.topology", "tasks.publisher"])
def test_what_carries_messages_knows_no_service(module: str) -> None:
    import_alone([module], {*SERVICES, *OPERATOR})


@pytest.mark.parametrize("module", ["tasks.sweeper", "tasks.quarantine"])
def test_the_sweeper_and_the_quarantine_know_sales_only(module: str) -> None:
    import_alone([module], others("sales") | OPERATOR)


def test_the_gateway_needs_no_service_and_no_worker() -> None:
    import_alone(["gateway_app"], {*SERVICES, "tasks", "migrations", "conveyor", *BROKER, "psycopg2"})


def test_the_chassis_needs_nothing_of_ours() -> None:
    import_alone(["chassis"], {*SERVICES, *OPERATOR, "tasks", "celeryconfig", *BROKER})


def test_control_an_import_of_another_service_is_found() -> None:
    with pytest.raises(AssertionError, match="another process's business"):
        import_alone(["tasks.sweeper"], {"sales"})
