"""``conveyor serve``: one Flask app behind the asynchronous front.

A small master process starts the web processes in which the app lives, stops them, and watches over them: each answers
its own /health/live again and again and tells the master so. When one has ended, or has not been well for a while, all
of them end, and whoever has started the master starts it again. A web process ends with its master, however that went.

Several web processes listen on the port together (SO_REUSEPORT). A second server on the same port would then start
without a word and take half of the requests. So the port is tried without that option, first thing.
"""

import os
import signal
import socket
import sys
import time
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from typing import Any

import click
import structlog

from chassis.logs import configure_logs
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process

log = structlog.get_logger()

#: A web process goes on from where its master is, with its logs and its signals set up. From Python 3.14 on it would
#: begin anew, in a third process that stays, on Linux too; on macOS it always has.
PROCESSES = get_context("fork" if sys.platform == "linux" else None)

#: The web processes: name -> where its ``create_app`` is.
APPS = {
    "gateway": "gateway_app.app",
    "sales": "sales.app",
    "inventory": "inventory.app",
    "delivery": "delivery.app",
}

#: How long (seconds) requests under way may take when the process is asked to stop; then they are cut off.
STOP_WITHIN = 10
#: How long (seconds) a web process may take to start, before it counts as unwell.
START_WITHIN = 60
#: How often a web process asks itself whether it is well, while it may be unwell (``live_within``).
PULSES = 6


@click.command()
@click.argument("name", type=click.Choice(list(APPS)))
def serve(name: str) -> None:
    """Answer HTTP as NAME, on its port, until told to stop (SIGTERM).

    \b
      conveyor serve gateway
      CONVEYOR_WEB_PROCESSES=2 conveyor serve sales
    """
    serve_app(name, settings_of_process())


def serve_app(name: str, settings: Settings) -> None:
    """Answer HTTP on the port of this web process until SIGTERM or SIGINT.

    Raises SystemExit with status 1, after one line that says why, when the port is taken, the app cannot start, or a
    web process has ended or is not well.
    """
    configure_logs(settings, name)
    _refuse_taken_port(name, settings.host, int(getattr(settings, f"{name}_port")))
    signals = _signals()
    master = Pipe(duplex=False)
    children = [Child(name, settings, number + 1, master) for number in range(settings.web_processes)]
    try:
        fault = _watch(children, signals, settings.live_within)
    finally:
        _stop(children)
    if fault:
        sys.exit(1)


class Child:
    """A web process, as its master sees it."""

    def __init__(self, name: str, settings: Settings, number: int, master: tuple[Connection, Connection]) -> None:
        """``master`` is a pipe that only the master keeps the second end of."""
        self.pulse, theirs = Pipe(duplex=False)
        self._process = PROCESSES.Process(
            target=_answer, args=(name, settings, number, theirs, *master), name=f"{name} {number}"
        )
        self._process.start()
        theirs.close()
        self.sentinel = self._process.sentinel
        #: When it was well last.
        self.well_at = time.monotonic() + START_WITHIN

    def fault(self, within: float) -> dict[str, object] | None:
        """What is wrong with it, None where nothing is; one that has not been well for so long is killed."""
        try:
            while self.pulse.poll():
                self.pulse.recv_bytes()
                self.well_at = time.monotonic()
        except EOFError:
            self._process.join()
        if self._process.exitcode is not None:
            return {"event": "web_process_ended", "exit_code": self._process.exitcode}
        if time.monotonic() - self.well_at < within:
            return None
        self._process.kill()
        return {"event": "web_process_not_alive", "pid": self._process.pid, "seconds": within}

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for its end, so long at most, and then end it."""
        self._process.join(seconds)
        self._process.kill()
        self._process.join()


def _watch(children: list[Child], signals: socket.socket, within: float) -> bool:
    """Wait until a signal asks to stop (False) or something is wrong (True), which is logged."""
    seen: list[Any] = [signals, *(each.sentinel for each in children), *(each.pulse for each in children)]
    pulse = within / PULSES
    while True:
        asleep_at = time.monotonic()
        ready = wait(seen, pulse)
        if signals in ready:
            return False
        paused = time.monotonic() - asleep_at - 2 * pulse
        for child in children:
            if paused > 0:  # it was this process that stood still
                child.well_at += paused
            fault = child.fault(within)
            if fault is not None:
                log.error(**fault)
                return True


def _stop(children: list[Child]) -> None:
    for child in children:
        child.ask_to_stop()
    end = time.monotonic() + STOP_WITHIN
    for child in children:
        child.end(max(end - time.monotonic(), 0))


def _signals() -> socket.socket:
    """A socket on which there is something to read once this process is asked to stop."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reader


def _answer(
    name: str, settings: Settings, number: int, pulse: Connection, master: Connection, masters_end: Connection
) -> None:
    """What a web process does. ``master`` is at its end once the master is gone."""
    masters_end.close()  # each process does so: one that hangs keeps no other from seeing the end
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    # Only now: what it takes, the master would hold for nothing.
    from conveyor.web_process import answer_http

    answer_http(APPS[name], name, settings, number, pulse, master)


def _refuse_taken_port(name: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        log.error("cannot_start", reason=f"{name} cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")
        sys.exit(1)
