"""Where processes of ours begin without a second of imports: a process that has all libraries loaded, and forks.

A fork is a process like any other, with an environment, a log and an exit code of its own. Nothing of Conveyor itself
is loaded before the fork, so that settings and patches find everything as they would in a fresh interpreter.
"""

import importlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

ROOT = Path(__file__).parents[3]
LIBRARIES = (
    "click", "structlog", "msgspec", "uuid_utils.compat", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql.psycopg2",
    "psycopg2", "redis", "celery.apps.worker", "celery.concurrency.thread", "celery.worker.consumer.consumer",
    "celery.worker.request", "celery.worker.strategy", "celery.backends.redis", "celery.events", "celery.app.control",
    "celery.worker.control", "celery.worker.state", "celery.app.log", "celery.canvas",
    "kombu.transport.pyamqp", "flask", "flask_smorest", "flask_swagger_ui", "granian", "granian.server.mp",
    "marshmallow", "webargs.flaskparser", "apispec.ext.marshmallow", "urllib3", "http.client", "multiprocessing.pool",
)  # fmt: skip


class Forked:
    """A process from the nursery, with the methods of ``subprocess.Popen`` that a test needs."""

    def __init__(self, pid: int, exit_file: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._exit_file = exit_file

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None and self._exit_file.exists():
            self.returncode = int(self._exit_file.read_text())
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        """Does nothing to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As a crash would."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """Starts processes that run Python code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import run; run()"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, code: str, environment: dict[str, str], log: Path) -> Forked:
        """A process that runs this code in this environment, and writes its output to the end of this log."""
        exit_file = self._folder / f"{uuid7().hex}.exit"
        job = {"code": code, "environment": environment, "log": str(log), "exit": str(exit_file)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return Forked(int(self._process.stdout.readline()), exit_file)

    def close(self) -> None:
        """End the nursery, and kill what it has started and still runs."""
        self._process.communicate("")


def run() -> None:
    """The nursery's own process: a line of JSON for each process to start, answered with its pid."""
    for each in LIBRARIES:
        importlib.import_module(each)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    children: dict[int, Path] = {}
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            _take_note(children)
        if 0 not in ready:
            continue
        line = sys.stdin.buffer.raw.readline()  # type: ignore[attr-defined]  # unbuffered: select sees what is left
        if not line:
            break
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(job)
            return
        children[pid] = Path(job["exit"])
        print(pid, flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _take_note(children: dict[int, Path]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            file = children.pop(pid)
            draft = file.with_suffix(".draft")
            draft.write_text(str(os.waitstatus_to_exitcode(status)))
            draft.rename(file)


def _become(job: dict[str, Any]) -> None:
    """What the job says; the interpreter ends as it does after any program."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(Path(job["log"]).parent)
    exec(compile(job["code"], "<nursery>", "exec"), {"__name__": "__main__"})
