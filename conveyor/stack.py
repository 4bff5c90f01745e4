"""The running stack, as other processes find it: what ``conveyor run`` writes down in its state directory.

Everything about a stack is in that directory (``.conveyor`` by default), which its owner alone can read:

    stack.json    environment and pids of the stack, kept up to date while it runs
    lock          held by the supervisor as long as it lives
    postgres/  valkey/  rabbitmq/  broker/    data, passwords and process record of each server
    logs/  processes/  ready/                 log, process record and ready file of each child
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from conveyor.embedded.processes import EmbeddedError, end_left_behind, write_private

#: Settings that carry a password or are one process's own: nobody is given them who has not asked for them.
GUARDED = {
    "sales_database_url",
    "inventory_database_url",
    "delivery_database_url",
    "broker_url",
    "redis_url",
    "flower_basic_auth",
    "ready_file",
    "state_dir",
}
LOCK_PATIENCE = 1.0  # seconds: another command may hold the lock for a moment, to see whether a stack runs


@dataclass(frozen=True)
class Stack:
    """A stack as its supervisor last described it."""

    supervisor: int  # its pid
    ready: bool  # has everything been ready since the start?
    environment: dict[str, str]  # CONVEYOR_* variables that lead to this stack, with its passwords
    processes: dict[str, int]  # pid by name, of servers and children

    def save(self, state: Path) -> None:
        write_private(state / "stack.json", json.dumps(asdict(self), indent=2) + "\n")


def running(state_dir: str | Path) -> Stack | None:
    """The stack whose supervisor runs on this state directory; None where there is none."""
    state = Path(state_dir)
    if not (state / "lock").exists():
        return None
    with (state / "lock").open() as lock:
        if _locked(lock.fileno(), fcntl.LOCK_SH):
            return None
    return _read(state)


def environment(state_dir: str | Path) -> dict[str, str]:
    """The variables that lead to the stack of this state directory, for commands that were given none.

    They stay after a supervisor was killed, whose servers may well be running. Empty where no stack has run, or where
    it was stopped.
    """
    stack = _read(Path(state_dir))
    return dict(stack.environment) if stack else {}


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the state directory, made where missing, for one supervisor. Raises EmbeddedError where another does."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    with (state / "lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _locked(lock.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                stack = _read(state)
                pid = f" (process {stack.supervisor})" if stack else ""
                raise EmbeddedError(f"a stack is already running on {state}{pid}: stop it first, with Ctrl-C there")
            time.sleep(0.05)
        yield


def forget(state: Path) -> None:
    """Remove a state directory with all data in it, and end what a killed supervisor left running there.

    Raises EmbeddedError while a stack runs on it.
    """
    if not state.exists():
        return
    with only_one(state):
        end_left_behind(state, keep=())
        shutil.rmtree(state)


def mark(state: Path) -> tuple[str, str]:
    """The variable in the environment of every process of this stack, by which it is known as ours."""
    return "CONVEYOR_STATE_DIR", str(state.absolute())


def _read(state: Path) -> Stack | None:
    try:
        return Stack(**json.loads((state / "stack.json").read_text()))
    except FileNotFoundError:
        return None


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
