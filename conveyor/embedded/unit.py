"""What the supervisor looks after: anything that can be started, asked whether it is ready, and stopped."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Protocol

from conveyor.embedded.processes import RECORD, EmbeddedError, Process, Start, tail


class Unit(Protocol):
    """A server, a child process, or a job."""

    name: str
    log: Path
    needs: tuple[str, ...]  # names of the units that must be ready before this one is started
    start_patience: float  # seconds from its start until it has to be ready
    stop_patience: float  # seconds from asking it to end until it is killed
    forgiving: float  # seconds in which it may end and is started again before that counts as a failure
    finishes: bool  # a job: it is ready when it has ended well, and is not started again

    def spawn(self) -> None:
        """Start it, and do not wait."""

    def alive(self) -> bool: ...

    def healthy(self) -> bool:
        """Is it ready to work?"""

    def ask_to_stop(self) -> None: ...

    def kill(self) -> None:
        """End it at once, and tidy up after it. Also called after it has ended by itself."""

    def pid(self) -> int | None: ...

    def ending(self) -> str:
        """How it ended, for people: "was killed by SIGKILL"."""


@dataclass(eq=False)
class Child:
    """A process of our own that serves until it is stopped."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path  # its log and its record are kept here, under ``logs/`` and ``processes/``
    health: Callable[[], bool]
    needs: tuple[str, ...] = ()
    start_patience: float = 60
    stop_patience: float = 20
    forgiving: float = 0
    finishes: bool = False
    ready_file: Path | None = None  # a file that says "ready"; removed at each start
    start: Start | None = None  # how, if not as a child of this process
    log: Path = field(init=False)
    process: Process | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.log = self.directory / "logs" / f"{self.name}.log"

    def spawn(self) -> None:
        if self.ready_file is not None:
            self.ready_file.parent.mkdir(parents=True, exist_ok=True)
            self.ready_file.unlink(missing_ok=True)
        record = self.directory / "processes" / f"{self.name}{RECORD}"
        self.process = Process.spawn(self.command, self.environment, self.log, record, self.start)

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def healthy(self) -> bool:
        if self.finishes:
            return self.process is not None and self.process.exit_code() == 0
        return self.health()

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.signal(SIGTERM)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def ending(self) -> str:
        return self.process.ending() if self.process is not None else "was never started"


def last_words(unit: Unit) -> str:
    """How a unit ended and the last lines of its log, for people."""
    return f"{unit.name} {unit.ending()}; the last lines of {unit.log}:\n{tail(unit.log)}"


def become_ready(unit: Unit, began: float) -> bool:
    """One look at a unit that was started at ``began``: is it ready now?

    Raises EmbeddedError where it has ended, or takes longer than it may.
    """
    waited = time.monotonic() - began
    if not unit.alive() and not (unit.finishes and unit.healthy()):
        if waited > unit.forgiving:
            raise EmbeddedError(last_words(unit))
        unit.kill()
        unit.spawn()
        return False
    if unit.healthy():
        return True
    if waited > unit.start_patience:
        raise EmbeddedError(f"not ready after {unit.start_patience:.0f} s: {last_words(unit)}")
    return False
