"""One stack for all attacks, a neighbour who goes on asking meanwhile, and attackers in processes of their own."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.neighbour import Neighbour
from tests.e2e.shop import Shop, shop_of
from tests.e2e.stack import PYTHON, ROOT, Stack, until

#: Others' p99 while an attack lasts, in milliseconds.
PATIENCE_MS = 250
#: How long (seconds) who comes right after an attack's thousands of connections may wait until those are taken in.
TAKEN_IN = 2.0


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("attacks") / "stack")
    try:
        yield stack.start()
        checked = stack.conveyor("reconcile", "--settled")
        assert checked.returncode == 0, checked.stdout
        assert stack.stop() == 0
    finally:
        stack.clean_up()


@pytest.fixture
def stack(running: Stack) -> Stack:
    until(running.well, see=running.said)
    return running


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with shop_of(stack) as shop:
        yield shop


class Attacker:
    """A program of ``attackers/`` at work. It prints one line of JSON when it is in place, and one at its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def said(self) -> dict[str, Any]:
        """Its next line. Raises AssertionError where it has ended without one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the attacker ended with {self.process.wait()}"
        return dict(json.loads(line))

    def ends(self) -> dict[str, Any]:
        """Have it stop and say what became of its connections."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.said()


@contextlib.contextmanager
def attack(program: str, *arguments: object, log: Path) -> Iterator[Attacker]:
    """An attacker that is in place; ended at the end. ``log`` takes what it has to complain of."""
    command = [PYTHON, str(ROOT / "tests" / "attacks" / "attackers" / f"{program}.py"), *map(str, arguments)]
    with log.open("w") as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True)
    with process:
        try:
            attacker = Attacker(process)
            figures = attacker.said()
            assert figures["in_place"], log.read_text()
            assert figures.get("answered_after", 0) < TAKEN_IN, figures
            yield attacker
        finally:
            process.kill()


Suffers = Callable[..., dict[str, float]]


@pytest.fixture
def suffers(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Suffers:
    """Measures what an ordinary client gets meanwhile, prints it, and fails where it is served too slowly or not."""

    def measure(url: str, seconds: float = 8.0, patience_ms: float = PATIENCE_MS) -> dict[str, float]:
        figures = Neighbour(url).ask_for(seconds)
        with capsys.disabled():
            print(f"\n{request.node.name} {url}: {figures}")
        assert figures["failed"] == 0, figures
        assert figures["p99_ms"] < patience_ms, figures
        return figures

    return measure
