"""Two stacks that run side by side for the whole session: one on RabbitMQ, one on the stand-in broker."""

from collections.abc import Iterator

import pytest

from tests.e2e.shop import Shop, shop_of
from tests.e2e.stack import Stack, until


@pytest.fixture(scope="session")
def on_rabbitmq(rabbitmq_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from _while_running(Stack(tmp_path_factory.mktemp("e2e") / "rabbitmq", embedded_broker="rabbitmq"))


@pytest.fixture(scope="session")
def on_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from _while_running(Stack(tmp_path_factory.mktemp("e2e") / "valkey", embedded_broker="valkey"))


def _while_running(stack: Stack) -> Iterator[Stack]:
    """Whatever the tests did to it: at the end its databases agree, and nothing of it is left."""
    try:
        yield stack.start()
        checked = stack.conveyor("reconcile", "--settled")
        assert checked.returncode == 0, checked.stdout
        assert stack.stop() == 0
        assert stack.processes() == []
    finally:
        stack.clean_up()


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Stack:
    """The stack on RabbitMQ, or the one that the test is parametrized with."""
    broker = getattr(request, "param", "rabbitmq")
    stack: Stack = request.getfixturevalue(f"on_{broker}")
    if not stack.ready():  # a test before this one failed while the stack was down
        stack.start()
    until(stack.well, see=stack.said)
    return stack


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    """A customer of the stack's."""
    with shop_of(stack) as shop:
        yield shop
