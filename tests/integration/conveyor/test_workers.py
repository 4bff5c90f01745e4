"""``--concurrency``: several processes as one; here they only say their name and wait."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SAY_NAME_AND_WAIT = """
import os, signal, sys
with open(os.environ["NAMES"], "a") as names:
    print(sys.argv[-1], os.getpid(), file=names)
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pause()
"""
KEEP_THREE = f"""
import sys
from conveyor.worker import _keep_running
sys.exit(_keep_running([sys.executable, "-c", {SAY_NAME_AND_WAIT!r}], 3, "packer"))
"""


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return tmp_path / "names"


@pytest.fixture
def three(names: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "NAMES": str(names), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", KEEP_THREE], env=environment, start_new_session=True) as process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def started(names: Path) -> list[list[str]]:
    return [line.split() for line in names.read_text().splitlines()] if names.exists() else []


def test_each_has_a_name_of_its_own_and_one_that_dies_is_started_again(
    three: "subprocess.Popen[bytes]", names: Path
) -> None:
    wait_for(lambda: len(started(names)) == 3)
    assert {name for name, _ in started(names)} == {"packer-1", "packer-2", "packer-3"}
    name, pid = started(names)[0]

    os.kill(int(pid), signal.SIGKILL)

    wait_for(lambda: len(started(names)) == 4)
    assert started(names)[3][0] == name


@pytest.mark.parametrize("reaches", ["the parent", "everybody, as Ctrl-C does"])
def test_told_to_stop_all_end_and_that_is_no_failure(
    three: "subprocess.Popen[bytes]", names: Path, reaches: str
) -> None:
    wait_for(lambda: len(started(names)) == 3)

    if reaches == "the parent":
        three.terminate()
    else:
        os.killpg(three.pid, signal.SIGINT)

    assert three.wait(60) == 0
    for _, pid in started(names):
        assert not Path(f"/proc/{pid}").exists()
