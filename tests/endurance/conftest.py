"""One stack for all long runs, and a report of each that is printed whatever becomes of it."""

import os
from collections.abc import Callable, Iterator

import pytest
import urllib3

from tests.e2e.shop import Shop
from tests.e2e.stack import Stack, until

Report = Callable[..., None]


def minutes(usual: float) -> float:
    """How long an outage or an overload lasts, in seconds: ``ENDURANCE_MINUTES``, or as long as it is meant to be."""
    return 60 * float(os.environ.get("ENDURANCE_MINUTES", usual))


@pytest.fixture
def stack(
    rabbitmq_installed: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """A stack of the test's own; settings of its own come from the parameter."""
    settings = getattr(request, "param", {})
    stack = Stack(tmp_path_factory.mktemp("endurance") / "stack", embedded_broker="rabbitmq", **settings)
    try:
        stack.start()
        until(stack.well, see=stack.said)
        yield stack
        assert stack.stop() == 0
    finally:
        stack.clean_up()


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with urllib3.PoolManager(maxsize=64, timeout=urllib3.Timeout(connect=5, read=60)) as pool:
        yield Shop(stack, pool)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Report:
    """Print what was measured."""

    def say(**figures: object) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}")
            for name, figure in figures.items():
                print(f"  {name.replace('_', ' '):<34} {figure}")

    return say
