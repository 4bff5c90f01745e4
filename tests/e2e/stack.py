"""A whole stack, started as people start it: ``python -m conveyor run``, in a directory and on ports of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil
import psycopg2
import urllib3

from conveyor.embedded.ports import free_ports

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
T = TypeVar("T")

PORTS = ("gateway_port", "sales_port", "inventory_port", "delivery_port", "flower_port", "postgres_port", "valkey_port",
         "broker_port", "rabbitmq_dist_port", "rabbitmq_epmd_port", "rabbitmq_management_port")  # fmt: skip
RELAYS = ("sales_relay", "inventory_relay", "delivery_relay")
#: What Flower's API asks for: without a login it answers nobody.
FLOWER_LOGIN = "operator:seen"


def until(
    condition: Callable[[], T | Literal[False] | None], seconds: float = 60.0, see: Callable[[], object] = lambda: ""
) -> T:
    """Poll until the condition holds and return what it said. Raises AssertionError with what there is to see then."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {see()}"
        time.sleep(0.05)
    return said


class Stack:
    """One stack on disk: started, stopped, killed and started again, and looked at from outside."""

    def __init__(self, state: Path, first_order: bool = False, **settings: str) -> None:
        """``settings`` by field name: ``embedded_broker="valkey"``. ``first_order``: place the one of `make run`."""
        self.state, self._first_order = state, first_order
        ports = free_ports()
        chosen = {"state_dir": str(state), "flower_basic_auth": FLOWER_LOGIN, "log_format": "json"}
        chosen |= {name: str(next(ports)) for name in PORTS} | {name: f"127.0.0.1:{next(ports)}" for name in RELAYS}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONVEYOR_", "FLOWER_"))}
        told = {f"CONVEYOR_{name.upper()}": value for name, value in (chosen | settings).items()}
        self.environment = inherited | {"PYTHONPATH": str(ROOT)} | told
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.output = state.with_name(f"{state.name}.out")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, and do not wait."""
        with self.output.open("ab") as output:
            command = [PYTHON, "-m", "conveyor", "run", "--first-order" if self._first_order else "--no-first-order"]
            # A folder that is not the project's: what is found must be found through the settings.
            self.supervisor = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, cwd=self.state.parent
            )
        return self.supervisor

    def start(self, seconds: float = 180.0) -> "Stack":
        """Start it and wait until it says that it is ready."""
        process = self.launch()
        until(lambda: self.ready() or process.poll() is not None, seconds, self.said)
        assert process.poll() is None, f"it ended instead of getting ready:\n{self.said()}"
        return self

    def ready(self) -> bool:
        """Is it this start's stack.json, and does it say so?"""
        found, process = self.described(), self.supervisor
        if found is None or process is None or process.poll() is not None:
            return False
        return bool(found["ready"] and found["supervisor"] == process.pid)

    def well(self) -> bool:
        """Does its gateway say that every service is well?"""
        try:
            with urllib3.PoolManager(retries=False, timeout=10) as pool:
                return pool.request("GET", f"{self.setting('gateway_url')}/health").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def stop(self, number: int = signal.SIGTERM, seconds: float = 120.0) -> int:
        """Ask it to end, wait, and return its exit code."""
        assert self.supervisor is not None
        self.supervisor.send_signal(number)
        return self.supervisor.wait(seconds)

    def clean_up(self) -> None:
        """End whatever is left of it, after a test that went wrong."""
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.kill()
            self.supervisor.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def described(self) -> dict[str, Any] | None:
        """What stack.json says; None where there is none."""
        try:
            return dict(json.loads((self.state / "stack.json").read_text()))
        except FileNotFoundError:
            return None

    def said(self) -> str:
        """Everything it has printed."""
        return self.output.read_text() if self.output.exists() else ""

    def hears(self, words: str, since: int = 0, seconds: float = 60.0) -> None:
        """Wait until it prints this, behind the first ``since`` characters."""
        until(lambda: words in self.said()[since:], seconds, lambda: f"{words!r} in:\n{self.said()[since:]}")

    def tells_of_death(self, name: str, since: int) -> None:
        """Wait until it prints that this process has ended, and that it starts it again."""
        told = rf"^{name} (was killed by SIGKILL|ended) .*Starting it again"
        until(lambda: re.search(told, self.said()[since:], re.M), see=lambda: f"{name} in:\n{self.said()[since:]}")

    def pid(self, name: str) -> int:
        described = self.described()
        assert described is not None
        return int(described["processes"][name])

    def signal(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send one of its processes a signal, found as anybody would find it; its pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    @contextlib.contextmanager
    def standing_still(self, name: str) -> Iterator[None]:
        """One of its processes is alive and does nothing, nor do its children, for as long as this lasts."""
        self.signal(name, signal.SIGSTOP)
        self.signal_children(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_children(name, signal.SIGCONT)
            self.signal(name, signal.SIGCONT)

    def signal_children(self, name: str, number: int) -> None:
        """Send everything that one of its processes has started a signal: of a web process, the one that serves."""
        for each in psutil.Process(self.pid(name)).children(recursive=True):
            each.send_signal(number)

    def variables(self) -> dict[str, str]:
        """The environment that leads to it, with its passwords."""
        described = self.described()
        assert described is not None
        return {**self.environment, **described["environment"]}

    def setting(self, name: str) -> str:
        return self.variables()[f"CONVEYOR_{name.upper()}"]

    def conveyor(self, *arguments: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command of the operator's beside it, told nothing but the state directory."""
        environment = {name: value for name, value in self.environment.items() if not name.startswith("CONVEYOR_")}
        environment["CONVEYOR_STATE_DIR"] = str(self.state)
        return subprocess.run(
            [PYTHON, "-m", "conveyor", *arguments],
            env=environment, cwd=self.state.parent, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def ask(self, service: str, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Look into a database."""
        url = self.setting(f"{service}_database_url")
        with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to it, whoever started it: the state directory is in its command, its working
        directory or its environment. This process and its supervisor's output file do not count."""
        return [each for each in psutil.process_iter() if each.pid != os.getpid() and self._owns(each)]

    def _owns(self, process: psutil.Process) -> bool:
        mark = str(self.state)
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            places = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(f"{mark}/" in f"{place}/" for place in places)


@contextlib.contextmanager
def beside(stack: Stack, *command: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of an operator's own next to the stack, with the settings that lead to it; ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=stack.variables() | environment, cwd=stack.state.parent, stdout=output, stderr=output
        )
    try:
        yield process
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.wait()
