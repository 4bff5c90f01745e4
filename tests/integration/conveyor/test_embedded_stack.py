"""How other processes find the running stack, and that there is one at most."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from conveyor import stack
from conveyor.embedded.processes import EmbeddedError, Process, inherited
from conveyor.stack import Stack

DESCRIBED = Stack(supervisor=4711, ready=True, environment={"CONVEYOR_REDIS_URL": "redis://x"}, processes={"a": 1})
HOLDS = """
import sys, time
from pathlib import Path
from conveyor.stack import only_one
with only_one(Path(sys.argv[1])):
    Path(sys.argv[1], "held").touch()
    time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / ".conveyor"


def held_by_another(state: Path) -> subprocess.Popen[bytes]:
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(state)])
    deadline = time.monotonic() + 10
    while not (state / "held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return other


def test_a_second_supervisor_on_the_same_directory_is_refused(state: Path) -> None:
    other = held_by_another(state)
    try:
        DESCRIBED.save(state)
        with pytest.raises(EmbeddedError, match=r"already running on .* \(process 4711\)"), stack.only_one(state):
            pytest.fail("it was let in")
        with pytest.raises(EmbeddedError, match="already running"):
            stack.forget(state)
        assert stack.running(state) == DESCRIBED
    finally:
        other.kill()
        other.wait()


def test_after_a_kill_of_the_supervisor_the_environment_is_known_and_nothing_runs(state: Path) -> None:
    other = held_by_another(state)
    DESCRIBED.save(state)
    other.kill()
    other.wait()
    assert stack.running(state) is None
    assert stack.environment(state) == DESCRIBED.environment
    with stack.only_one(state):
        pass


def test_where_no_stack_has_run_there_is_nothing_to_find(state: Path) -> None:
    assert stack.running(state) is None
    assert stack.environment(state) == {}


def test_only_the_owner_can_read_the_state(state: Path) -> None:
    with stack.only_one(state):
        DESCRIBED.save(state)
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "stack.json").stat().st_mode & 0o777 == 0o600


def test_forgetting_ends_what_was_left_running(state: Path) -> None:
    record = state / "processes" / "worker.process.json"
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = Process.spawn(command, inherited(), state / "logs" / "worker.log", record)
    stack.forget(state)
    assert not process.alive()
    assert not state.exists()
