"""``conveyor serve``: one Flask app behind granian.

Granian's server is a small master process that starts the worker process in which the app lives. A worker outlives a
master that was killed outright, and would keep the port; so it watches its master and ends with it. (Granian can also
run without a child, but only its free-threaded build, or with ASGI.)

Granian listens with SO_REUSEPORT: a second server on the same port would start without a word and take half of the
requests. So the port is tried without that option, first thing and again just before granian listens.
"""

import os
import re
import signal
import socket
import sys
import threading
from contextlib import closing
from functools import partial
from importlib import import_module
from io import BytesIO
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any, cast

import click
import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from setproctitle import getproctitle

from chassis.errors import SettingsError
from chassis.logs import configure_logs
from chassis.settings import Settings
from chassis.settings import settings as settings_of_process

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask
    from werkzeug.wsgi import ClosingIterator

log = structlog.get_logger()

#: The web processes: name -> where its ``create_app`` is.
APPS = {
    "gateway": "gateway_app.app",
    "sales": "sales.app",
    "inventory": "inventory.app",
    "delivery": "delivery.app",
}

#: How long (seconds) requests under way may take when the process is asked to stop; then they are cut off.
STOP_WITHIN = 10

#: Granian's own lines below this are about itself (which threads it started); they go where all other logs go.
_GRANIAN_LOGS: dict[str, Any] = {
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
    "handlers": {},
    "formatters": {},
}


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

    Raises SystemExit with status 1, after one line that says why, when the port is taken or the app cannot start.
    """
    configure_logs(settings, name)
    host, port = settings.host, int(getattr(settings, f"{name}_port"))
    _refuse_taken_port(name, host, port)
    server = Granian(
        name,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.web_processes,
        blocking_threads=settings.gateway_threads if name == "gateway" else settings.web_threads,
        workers_kill_timeout=STOP_WITHIN,
        log_level=LogLevels.error,
        log_dictconfig=_GRANIAN_LOGS,
        log_access=False,
    )
    server.serve(target_loader=partial(_load, name, host, port, settings), wrap_loader=False)


def _load(name: str, host: str, port: int, settings: Settings) -> "WSGIApplication":
    """The app, made inside the worker process. Granian listens as soon as it has it."""
    configure_logs(settings, name)
    _keep_to_a_core(settings)
    threading.Thread(target=_end_with_the_master, name="end-with-the-master", daemon=True).start()
    try:
        app: Flask = import_module(APPS[name]).create_app(settings)
    except SettingsError as error:
        log.error("cannot_start", reason=str(error))
        sys.exit(1)
    if "stopping" in app.extensions:
        _tell_of_the_end(app.extensions["stopping"])
    if settings.web_processes == 1:  # else it may be our own sibling that has it
        _refuse_taken_port(name, host, port)
    log.info("listening", address=f"http://{host}:{port}")
    return in_one_piece(app)


def in_one_piece(app: "Flask") -> "WSGIApplication":
    """The app, such that a body and an answer each change hands with granian's own thread once.

    Flask answers by an iterator and reads a body until nothing more comes, and granian wakes its thread for each piece
    of either: that was 3 to 10 % of what a request cost. No answer of ours is made while it is being sent.
    """
    most: int = app.config["MAX_CONTENT_LENGTH"]

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        length = environ.get("CONTENT_LENGTH")
        if length and int(length) <= most:
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(length)))
        with closing(cast("ClosingIterator", app(environ, start_response))) as pieces:
            return list(pieces)

    return answer


def _keep_to_a_core(settings: Settings) -> None:
    """Where there is one web process for each core, let each have its own.

    A process of Python has one thread at work at a time, and these hand over to each other all the time: from core to
    core that costs a tenth of an order. With fewer processes than cores the kernel finds better places for them.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return
    cores = sorted(os.sched_getaffinity(0))
    number = re.search(r"worker-(\d+)$", getproctitle())  # where granian says which of its workers this is
    if number and len(cores) > 1 and settings.web_processes == len(cores):
        os.sched_setaffinity(0, {cores[int(number[1]) - 1]})


def _end_with_the_master() -> None:
    """Wait until the master is gone, however it went, and go too: at once, as it did."""
    master = parent_process()
    if master is not None:
        master.join()
        os._exit(1)


def _tell_of_the_end(stopping: threading.Event) -> None:
    """Set the event when this process is asked to stop. (The signal's handler is granian's; this only looks on.)"""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())

    def watch() -> None:
        while reader.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        stopping.set()

    threading.Thread(target=watch, name="tell-of-the-end", daemon=True).start()


def _refuse_taken_port(name: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        log.error("cannot_start", reason=f"{name} cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")
        sys.exit(1)
