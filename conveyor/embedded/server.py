"""What PostgreSQL, Valkey and RabbitMQ have in common when they run embedded."""

import time
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar, Self

from conveyor.embedded.ports import require_free
from conveyor.embedded.processes import RECORD, EmbeddedError, Process, inherited
from conveyor.embedded.unit import become_ready


class Server:
    """One server on loopback, with its data in one directory.

    Killed or stopped, it can be started again and has its data. A process that an earlier start left behind
    in the same directory is taken over when it was started in the same way, and otherwise ended.
    """

    name: str = "server"
    needs: tuple[str, ...] = ()
    start_patience: float = 60
    stop_patience: float = 30
    forgiving: float = 0
    finishes: bool = False
    stop_signal: ClassVar[Signals] = SIGTERM

    def __init__(self, directory: Path, port: int, log: Path | None = None) -> None:
        """``directory`` holds data, passwords and the record of the process; ``log`` is in it by default."""
        self.directory = directory.absolute()
        self.port = port
        self.log = log or self.directory / "log"
        self.process: Process | None = None

    def start(self) -> Self:
        """Start it, or take it over, and wait until it answers. Raises EmbeddedError where it does not."""
        began = time.monotonic()
        self.spawn()
        try:
            while not become_ready(self, began):
                time.sleep(0.05)
        except EmbeddedError:
            self.kill()
            raise
        return self

    def spawn(self) -> None:
        """Start it, or take it over, and do not wait. Raises EmbeddedError where it cannot start."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prepare()
        if self.take_over():
            return
        require_free(self.port)
        record = self.directory / f"{self.name}{RECORD}"
        self.process = Process.spawn(self._command(), self._environment(), self.log, record)

    def ports(self) -> list[int]:
        """The ports that it will listen on once it is started; none where a process is there to take over."""
        return [] if self._left_running() else [self.port]

    def _left_running(self) -> bool:
        return Process.recorded(self.directory / f"{self.name}{RECORD}") is not None

    def take_over(self) -> bool:
        """Is a process of an earlier start still there, and of use? One that is of no use is ended."""
        if self.process is not None and self.process.alive():
            return True
        found = Process.recorded(self.directory / f"{self.name}{RECORD}")
        if found is None:
            return False
        if found.entry.command != self._command():
            found.stop(self.stop_signal, self.stop_patience)
            return False
        self.process = found
        return True

    def stop(self) -> None:
        """Ask it to end and wait until it has; one that will not is killed."""
        if self.process is not None:
            self.process.stop(self.stop_signal, self.stop_patience)

    def kill(self) -> None:
        """End it at once, as a crash of the machine would; its data stays."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.signal(self.stop_signal)

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def healthy(self) -> bool:
        """Does it answer?"""
        return self._answers()

    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def ending(self) -> str:
        return self.process.ending() if self.process is not None else "was never started"

    def _prepare(self) -> None:
        """Make what has to be there before the first start: a data directory, passwords, a config file."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return inherited()
