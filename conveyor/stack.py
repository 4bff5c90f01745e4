"""The running stack, as other processes find it: what ``conveyor run`` writes down in its state directory.

Everything about a stack is in that directory (``.conveyor`` by default), which its owner alone can read:

    stack.json    environment and pids of the stack, kept up to date while it runs
    lock          held by the supervisor as long as it lives
    postgres/  valkey/  rabbitmq/  broker/    data, passwords and process record of each server
    logs/  processes/  ready/                 log, process record and ready file of each child
    fetched/      RabbitMQ's programs, where the machine has none
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from chassis.ready import why_not_ready
from conveyor.embedded.processes import RECORD, EmbeddedError, Process, end_left_behind, write_private
from conveyor.embedded.rabbitmq_tree import FETCHED

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
#: What the state directory may hold: the above, those of `conveyor chaos` and `make bench` below it, and what was
#: fetched to run it, which is no data and is not forgotten.
OURS = {
    "stack.json", "lock", "postgres", "valkey", "rabbitmq", "broker", "logs", "processes", "ready", "chaos", "bench",
    FETCHED,
}  # fmt: skip
#: Processes that keep a ready file.
TOLD_BY_FILE = ("worker-", "relay-", "sweeper", "quarantine")
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


def nearest(name: str) -> str:
    """The state directory of this name in the working directory or, where it holds no stack, in the nearest one above
    that does: as an absolute path then.

    Only one of our own is taken: in /tmp anybody could have put one.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        state = folder / name
        if (state / "lock").exists() and state.stat().st_uid == os.geteuid():
            return name if folder == here else str(state)
    return name


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


def require_stopped(state: Path) -> None:
    """Raises EmbeddedError while a supervisor, or any process that one left behind, works on this directory or below
    it, and where the directory is none of ours."""
    if not (state / "lock").exists():
        raise EmbeddedError(f"{state.absolute()} holds no stack: nothing in it is deleted")
    others = sorted(each.name for each in state.iterdir() if each.name.removesuffix(".new") not in OURS)
    if others:
        raise EmbeddedError(f"{state.absolute()} holds {others[0]}, which is not a stack's: nothing in it is deleted")
    for lock in sorted(state.rglob("lock")):
        if (found := running(lock.parent)) is not None:
            raise EmbeddedError(
                f"a stack is running on {lock.parent} (process {found.supervisor}): stop it first, with Ctrl-C there"
            )
    found_again = {record: Process.recorded(record) for record in sorted(state.rglob(f"*{RECORD}"))}
    left = [
        f"{record.name.removesuffix(RECORD)} {each.pid}" for record, each in found_again.items() if each is not None
    ]
    if left:
        raise EmbeddedError(
            f"processes of a killed supervisor still run on {state}: {', '.join(left)}. `conveyor run` takes them over,"
            " and Ctrl-C there stops them"
        )


def trouble(state: Path, name: str) -> str | None:
    """Why a process of this stack that is there does not do its work; None where it does.

    "starting" where it has not got ready yet. A web process and a server have no ready file: they are asked.
    """
    return why_not_ready(state / "ready" / name) if name.startswith(TOLD_BY_FILE) else None


def forget(state: Path) -> None:
    """Remove a state directory with all data in it, and end what a killed supervisor left running there.

    What was fetched stays. Raises EmbeddedError while a stack runs on it.
    """
    if not state.exists():
        return
    with only_one(state):
        end_left_behind(state, keep=())
        if not (state / FETCHED).exists():
            shutil.rmtree(state)
            return
        for each in state.iterdir():
            if each.is_dir() and each.name != FETCHED:
                shutil.rmtree(each)
            elif each.name not in (FETCHED, "lock"):
                each.unlink()


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
