"""A fork server: Python processes begin in it without a second of imports, and share the memory of what it has loaded.

A fork is a process like any other, with a session, an environment, a log, an exit code and a name in ``ps`` of its own.
What is loaded before it must not read the environment meanwhile, so that it finds everything as a fresh interpreter
does. (The standard library's, in multiprocessing, gives its forks neither environment nor log nor session, and starts
another process that watches over semaphores.)
"""

import gc
import importlib
import os
import runpy
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

import setproctitle

from conveyor.embedded.processes import EmbeddedError, execute, started
from conveyor.embedded.unit import Child

#: The exit code of a fork whose server has ended before it.
UNKNOWN = 255
#: Seconds that a server may take to answer; it may still be loading.
PATIENCE = 30.0


class Line:
    """What a server tells the process that started it: pid and None at each birth, pid and exit code at each end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ended: dict[int, int] = {}
        self.ready = False
        self.cut = False

    def ask(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Have a process started; its pid. Raises EmbeddedError where the server has ended, or does not answer."""
        try:
            self._connection.send((list(command), dict(environment), str(log)))
            while self._connection.poll(PATIENCE):
                pid, code = self._connection.recv()
                self._note(pid, code)
                if pid and code is None:
                    return int(pid)
        except (OSError, EOFError) as error:
            self.cut = True
            raise EmbeddedError("the fork server has ended") from error
        self.cut = True
        raise EmbeddedError(f"the fork server does not answer within {PATIENCE:g} s")

    def exit_code(self, pid: int) -> int | None:
        """The exit code of this process, once; None while it runs."""
        self.listen()
        if self.cut and pid not in self._ended and started(pid) is None:
            return UNKNOWN
        return self._ended.pop(pid, None)

    def listen(self) -> None:
        """Take in what there is to hear."""
        try:
            while not self.cut and self._connection.poll():
                self._note(*self._connection.recv())
        except (OSError, EOFError):
            self.cut = True

    def _note(self, pid: int, code: int | None) -> None:
        self.ready = True
        if code is None:
            self._ended.pop(pid, None)  # of an earlier process with this number, for which nobody has asked
        else:
            self._ended[pid] = code


class Forked:
    """A process that a fork server has started, as far as ``subprocess.Popen`` is needed of it."""

    def __init__(self, pid: int, line: Line) -> None:
        self.pid = pid
        self._line = line
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            self._code = self._line.exit_code(self.pid)
        return self._code


class ForkServer(Child):
    """The unit by which others that are written in Python are started: ``fork`` takes the place of ``execute``."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        """``modules`` are loaded before the first fork."""
        # What it begins with is what the kernel shows as the environment of each fork, and says to which stack they
        # belong: a longer title must not be written over it.
        environment = {**environment, "SPT_NOENV": "1"}
        super().__init__("fork-server", (), environment, directory, self._ready)
        self._modules = modules
        self._line: Line | None = None

    def spawn(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            self.command = [sys.executable, "-u", "-m", __name__, str(theirs.fileno()), *self._modules]
            self.start = partial(execute, pass_fds=[theirs.fileno()])
            super().spawn()
        self._line = Line(ours)

    def fork(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        """A process that runs ``python -m MODULE ...`` or ``python -c CODE``. Raises EmbeddedError."""
        if self._line is None:
            raise EmbeddedError("the fork server does not run")
        log.touch(mode=0o600)
        try:
            return Forked(self._line.ask(command, environment, log), self._line)
        except EmbeddedError:
            self.kill()  # it may only hang; the supervisor starts another
            raise

    def _ready(self) -> bool:
        if self._line is not None:
            self._line.listen()
        return self._line is not None and self._line.ready and not self._line.cut


def serve(connection: Connection, modules: Sequence[str]) -> None:
    """The server's own process, until the other end of the line is closed. What it has started goes on then."""
    for each in modules:
        importlib.import_module(each)
    setproctitle.getproctitle()  # it looks for its place in memory now
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, what they share
    deaths, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    connection.send((0, None))
    while True:
        if deaths in wait([connection, deaths]):
            os.read(deaths, 4096)
            for ended in _ended():
                connection.send(ended)
        if not connection.poll():
            continue
        try:
            command, environment, log = connection.recv()
        except EOFError:
            return
        born, bearing = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            connection.close()
            for number in (deaths, writer, born, bearing):
                os.close(number)
            _become(command, environment, log)
            return
        os.close(bearing)
        os.read(born, 1)  # nothing comes; it ends when the fork leads a group that can be killed
        os.close(born)
        connection.send((pid, None))


def _ended() -> Iterator[tuple[int, int]]:
    """Pid and exit code of each fork that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _become(command: list[str], environment: dict[str, str], log: str) -> None:
    """What the command says; the interpreter then ends as after any program."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    python, how, what, *arguments = command
    setproctitle.setproctitle(" ".join([python, how, what, *arguments] if how == "-m" else [python, how]))
    sys.argv = [what, *arguments]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), sys.argv[2:])
