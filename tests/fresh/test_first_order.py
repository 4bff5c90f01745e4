"""A machine without RabbitMQ, and the real archive of its distribution: a broker is fetched, an order is settled."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conveyor.embedded import apt
from conveyor.embedded.processes import end_left_behind, inherited
from conveyor.own_stack import own_stack
from tests.integration.conveyor.test_embedded_supervisor import until

#: Seconds from `conveyor run` to a settled order, the fetching included.
PATIENCE = 90
#: A program that forgets where packages put RabbitMQ, and finds none on the PATH.
RUN = """
from conveyor.cli import main
from conveyor.embedded import rabbitmq
rabbitmq.FOLDERS = ()
main(["run"])
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """All programs of this machine but those of RabbitMQ and Erlang."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for each in Path(place).glob("*"):
            if not each.name.startswith(("rabbitmq", "erl", "epmd")):
                (folder / each.name).unlink(missing_ok=True)
                (folder / each.name).symlink_to(each)
    return str(folder)


def test_the_first_order_is_settled_on_a_rabbitmq_that_was_fetched(tmp_path: Path, path: str) -> None:
    if not apt.here():
        pytest.skip("needs APT: Debian and its kin have it")
    assert shutil.which("rabbitmq-server", path=path) is None
    state, log = tmp_path / "state", tmp_path / "log"
    environment = inherited() | own_stack(state) | {"PATH": path}
    with log.open("wb") as output:
        run = subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "It is now" in log.read_text() or run.poll() is not None, PATIENCE)
        said = log.read_text()
        assert "Fetching RabbitMQ " in said
        assert "Broker: RabbitMQ, a node of its own" in said
        assert "It is now Pending Shipment" in said
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()
        end_left_behind(state, keep=(), patience=0)
