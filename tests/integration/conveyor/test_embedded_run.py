"""``conveyor run`` itself: refused early, killed and started again, stopped. With Valkey as the broker, to be quick."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conveyor import stack
from conveyor.embedded.processes import Record, end_left_behind, inherited, started
from conveyor.own_stack import own_stack
from tests.integration.conveyor.test_embedded_supervisor import until


class Machine:
    """A directory and ports for one stack, and the runs on it."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.environment = inherited() | own_stack(self.state) | {"CONVEYOR_EMBEDDED_BROKER": "valkey"}

    def run(self, log: Path, *options: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            command = [sys.executable, "-m", "conveyor", "run", *options]
            return subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT)

    def pids(self, *names: str) -> set[int]:
        """The processes on record that run: all of them, or those of these names."""
        paths = self.state.glob("*/*.process.json")
        records = [Record.read(path) for path in paths if not names or path.name.split(".")[0] in names]
        return {entry.pid for entry in records if entry is not None and started(entry.pid) == entry.started}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    end_left_behind(made.state, keep=(), patience=0)


def test_a_taken_port_is_one_line_that_names_its_setting(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        machine.environment["CONVEYOR_SALES_PORT"] = str(port)
        assert machine.run(log).wait(60) == 1
    last = log.read_text().splitlines()[-1]
    assert last.startswith(f"conveyor: port {port} (CONVEYOR_SALES_PORT) on 127.0.0.1 is taken by another program")
    assert "CONVEYOR_PORT_BASE=" in last
    assert machine.pids() == set()


def test_killed_it_is_started_again_and_stopped_it_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    first = machine.run(tmp_path / "first", "--no-first-order")
    until(lambda: ((found := stack.running(machine.state)) and found.ready) or first.poll() is not None, 120)
    first.kill()
    first.wait()
    left = machine.pids()
    servers = machine.pids("postgres", "valkey", "broker")
    assert len(servers) == 3

    second = machine.run(tmp_path / "second")
    said = tmp_path / "second"
    until(lambda: "Ctrl-C stops everything." in said.read_text() or second.poll() is not None, 120)
    text = said.read_text()
    assert "Broker: Valkey stands in for RabbitMQ" in text
    assert "Ended what an earlier run left behind: delivery, flower, gateway" in text
    assert "It is now Pending Shipment" in text
    assert machine.pids() & left == servers, "servers are taken over, all else is new"

    os.kill(second.pid, signal.SIGINT)
    assert second.wait(90) == 0
    assert machine.pids() == set()
    assert stack.environment(machine.state) == {}
