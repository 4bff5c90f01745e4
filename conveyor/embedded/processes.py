"""Processes that outlive the one that started them, and are found again.

A process is known by its pid and by when it was started, kept in a record on disk: a pid alone may by now
belong to somebody else, and would then be killed by mistake. Each process leads a session of its own, so that
Ctrl-C in a terminal reaches the supervisor only, and a kill reaches whatever the process forked.
"""

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Protocol

from chassis.errors import ConveyorError

MAX_LOG_BYTES = 20_000_000
RECORD = ".process.json"  # how the name of every record ends
# What a server or a child needs of its parent's environment besides its own settings.
INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH")


class EmbeddedError(ConveyorError):
    """The embedded stack cannot go on. The message is for people: what is wrong, and what to do about it."""


@dataclass(frozen=True)
class Record:
    """What is written down about a process, so that a later start finds it again."""

    pid: int
    started: str
    command: list[str]

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """None where nothing was written, or a full disk cut it short: then nothing can be found again."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self)))


class Running(Protocol):
    """A process that was started here."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""


#: Starts a command in this environment, its output appended to this log. Raises EmbeddedError.
Start = Callable[[Sequence[str], Mapping[str, str], Path], Running]


def execute(
    command: Sequence[str], environment: Mapping[str, str], log: Path, pass_fds: Collection[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a command as a child of this process. Raises EmbeddedError."""
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as error:
            raise EmbeddedError(f"cannot start {command[0]}: {error.strerror}") from error


class Process:
    """A process that was started here or found again by its record."""

    def __init__(self, entry: Record, record: Path, running: Running | None = None) -> None:
        """``running`` where it was started here, which alone may ask for its exit code."""
        self.pid = entry.pid
        self.entry = entry
        self.record = record
        self._running = running

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        record: Path,
        start: Start | None = None,
    ) -> "Process":
        """Start a command, its output appended to ``log``. Raises EmbeddedError where it cannot be started.

        ``start`` is how: ``execute``, unless another is given.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))
        running = (start or execute)(command, environment, log)
        entry = Record(running.pid, started(running.pid) or "ended", list(command))
        entry.write(record)
        return cls(entry, record, running)

    @classmethod
    def recorded(cls, record: Path) -> "Process | None":
        """The process of an earlier start that this record names; None where it has ended."""
        entry = Record.read(record)
        if entry is None or started(entry.pid) != entry.started:
            return None
        return cls(entry, record)

    def alive(self) -> bool:
        """Is it still running? Also takes note of its end, so that no zombie is left."""
        if self._running is not None:
            return self._running.poll() is None
        return started(self.pid) == self.entry.started

    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs and where another process started it."""
        return self._running.poll() if self._running is not None else None

    def ending(self) -> str:
        """How it ended, for people."""
        if self.alive():
            return "is still running"
        code = self.exit_code()
        if code is None:
            return "ended"
        return f"ended with exit code {code}" if code >= 0 else f"was killed by {Signals(-code).name}"

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and everything it forked, at once."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, SIGKILL)
        self.wait(10)
        self.sweep()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False where it is still running after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self, number: int = SIGTERM, patience: float = 10) -> None:
        """Ask it to end; after ``patience`` seconds, end it."""
        self.signal(number)
        if not self.wait(patience):
            self.kill()
        self.sweep()

    def sweep(self) -> None:
        """After its end: kill what it forked and left behind, and forget its record.

        The kernel gives no new process this pid while its group has a member, so the group is still ours.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, SIGKILL)
        if Record.read(self.record) == self.entry:
            self.record.unlink(missing_ok=True)


def end_left_behind(state: Path, keep: Collection[Path], patience: float = 10) -> list[str]:
    """End what a killed supervisor left running, and return the names.

    ``state`` holds the records, as ``<folder>/<name>.process.json``; those in ``keep`` are left alone, for a server
    that takes its old process over.
    """
    records = [record for record in sorted(state.glob(f"*/*{RECORD}")) if record not in keep]
    found = [process for process in map(Process.recorded, records) if process is not None]
    for process in found:
        process.signal(SIGTERM)
    deadline = time.monotonic() + patience
    for process in found:
        process.wait(max(0, deadline - time.monotonic()))
        process.kill()
    for record in records:
        _end_group(record, f"CONVEYOR_STATE_DIR={state.absolute()}")
        record.unlink(missing_ok=True)
    return [process.record.name.removesuffix(RECORD) for process in found]


def _end_group(record: Path, mark: str) -> None:
    """Kill what a process forked that has itself ended since its record was written.

    By now the number may be somebody else's group: only members whose environment holds ``mark`` are killed. Without
    /proc (macOS) there is no way to tell, and they are left alone.
    """
    entry = Record.read(record)
    for pid in members(entry.pid) if entry is not None else ():
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is not ours to look at
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, SIGKILL)


def members(number: int) -> Iterator[int]:
    """The processes of this process group: a process and what it forked. Without /proc (macOS) none is found."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the name in parentheses: state, parent, process group.
            if int((entry / "stat").read_text().rpartition(")")[2].split()[2]) == number:
                yield int(entry.name)


def started(pid: int) -> str | None:
    """When this process was started, as a text no other process of this pid has; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    if fields[0] in "ZX":
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, since = answer.stdout.strip().partition(" ")
    return None if not since or state.startswith("Z") else since.strip()


def write_private(path: Path, text: str) -> None:
    """Put a file in place as a whole, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def password(path: Path) -> str:
    """The password kept in this file; made up the first time. Safe in a URL, a config file and SQL."""
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    return path.read_text()


def inherited() -> dict[str, str]:
    """The part of this process's environment that every other process gets too."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, indented; empty where there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8_000))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
