"""A web process: uvicorn's server with the app's front, its limits, and a thread that asks whether it is well."""

import asyncio
import ctypes
import os
import resource
import socket
import sys
import threading
import time
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING, Any, NoReturn, cast

import structlog
import uvicorn
from setproctitle import getproctitle, setproctitle

from chassis.connections import Connection, Connections
from chassis.errors import SettingsError
from chassis.front import LIVE, Front
from chassis.logs import configure_logs
from chassis.receiving import Bodies
from chassis.settings import Settings
from chassis.threads import Threads
from conveyor.access import check_access
from conveyor.serve import PULSES, STOP_WITHIN

if TYPE_CHECKING:
    from types import FrameType

    from flask import Flask

log = structlog.get_logger()

#: Connections that wait to be taken in; the kernel has a limit of its own (net.core.somaxconn).
BACKLOG = 4_096
#: File descriptors that a process needs for other things than connections of clients, beside two for each thread.
OWN_DESCRIPTORS = 128
#: Blocks of this size (bytes) and more go back to the kernel once they are free; what it is called in glibc's malloc.h.
LARGE_BLOCK, M_MMAP_THRESHOLD = 524_288, -3
#: What counts as the hard limit of file descriptors where there is none.
ENOUGH_DESCRIPTORS = 65_536


def answer_http(app_module: str, name: str, settings: Settings, number: int, pulse: Pipe, master: Pipe) -> NoReturn:
    """Answer HTTP until SIGTERM or SIGINT; then end, with what is under way answered or cut off."""
    setproctitle(f"{getproctitle()} worker-{number}")
    configure_logs(settings, name)
    _keep_to_a_core(settings, number)
    _give_large_blocks_back()
    threading.Thread(target=_end_with_the_master, args=[master], name="end-with-the-master", daemon=True).start()
    count = settings.gateway_threads if name == "gateway" else settings.web_threads
    most = _connections_for(settings.max_connections, OWN_DESCRIPTORS + 2 * count)
    try:
        check_access(settings, database="" if name == "gateway" else name, redis=True)
        app: Flask = import_module(app_module).create_app(settings)
    except SettingsError as error:
        log.error("cannot_start", reason=str(error))
        sys.exit(1)
    connections = Connections(most, settings.idle_time, settings.taking_time)
    bodies = Bodies(connections, settings.max_body_bytes, settings.body_time)
    front = Front(app, Threads(count), bodies, connections, settings.max_streams)
    server = Server(front, connections, app.extensions.get("stopping"))
    listening = _listening(name, settings)
    threading.Thread(
        target=_tell_that_it_is_well, args=[server, pulse, settings.live_within / PULSES], name="pulse", daemon=True
    ).start()
    server.run(sockets=[listening])
    # Not the ordinary way: that waits for threads, and those that are still at work are cut off.
    os._exit(0)


class Server(uvicorn.Server):
    """Uvicorn's server, with our front and our connections."""

    def __init__(self, front: Front, connections: Connections, stopping: threading.Event | None) -> None:
        config = uvicorn.Config(
            cast("Any", front),
            http=cast("type[asyncio.Protocol]", partial(Connection, connections)),
            loop="uvloop",
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_keep_alive=86_400,  # the sweep closes what is idle
            timeout_graceful_shutdown=STOP_WITHIN - 1,
        )
        super().__init__(config)
        self._front, self._connections, self._app_stopping = front, connections, stopping
        self._loop: asyncio.AbstractEventLoop
        self._exit = asyncio.Event()
        #: Set while it answers.
        self.serving = threading.Event()

    async def main_loop(self) -> None:
        """Serve until told to stop; once a second see to the date and to connections whose time is up."""
        self._loop = asyncio.get_running_loop()
        self.serving.set()
        while not await self.on_tick(0):
            await self._connections.sweep()
            try:
                async with asyncio.timeout(1):
                    await self._exit.wait()
            except TimeoutError:
                continue

    def handle_exit(self, sig: int, frame: "FrameType | None") -> None:
        """A signal asks to stop: nobody is held any longer."""
        self.should_exit = True
        if self._app_stopping is not None:
            self._app_stopping.set()
        if self.serving.is_set():
            self._loop.call_soon_threadsafe(self._exit.set)
            self._loop.call_soon_threadsafe(self._front.stop)

    def connect(self, seconds: float) -> socket.socket:
        """A connection to this server from within its process. Raises TimeoutError."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        protocol = partial(
            Connection, self._connections, config=self.config, server_state=self.server_state, app_state={}
        )
        taken = self._loop.connect_accepted_socket(protocol, theirs)
        asyncio.run_coroutine_threadsafe(taken, self._loop).result(seconds)
        ours.settimeout(seconds)
        return ours


def _tell_that_it_is_well(server: Server, pulse: Pipe, pause: float) -> None:
    """Ask this process's own LIVE every so many seconds, and tell the master each time that it answers 200."""
    server.serving.wait()
    while True:
        try:
            with server.connect(2 * pause) as connection:
                connection.sendall(f"GET {LIVE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                well = connection.recv(4_096).startswith(b"HTTP/1.1 200 ")
        except (OSError, TimeoutError):
            well = False
        if well:
            pulse.send_bytes(b"well")
        time.sleep(pause)


def _connections_for(wanted: int, reserved: int) -> int:
    """How many clients may be connected: as many as wanted, or as the descriptors allow, which a line says.

    The soft limit of file descriptors becomes the hard one.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    most = max(highest - reserved, highest // 2)
    if most < wanted:
        log.warning("few_file_descriptors", hard_limit=hard, connections=most, wanted=wanted, needed=wanted + reserved)
    return min(most, wanted)


def listen(host: str, port: int, taking_time: float, *, shared: bool) -> socket.socket:
    """A listening socket; with ``shared`` other web processes may have one on the same port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: also for what the kernel has taken over, and nobody takes
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(taking_time * 1000))
    return listening


def _listening(name: str, settings: Settings) -> socket.socket:
    host, port = settings.host, int(getattr(settings, f"{name}_port"))
    try:
        listening = listen(host, port, settings.taking_time, shared=settings.web_processes > 1)
    except OSError as error:
        log.error("cannot_start", reason=f"{name} cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")
        sys.exit(1)
    log.info("listening", address=f"http://{host}:{port}")
    return listening


def _give_large_blocks_back() -> None:
    """Keep no memory of large bodies.

    Where nothing is said, glibc takes the largest block that it has freed as its new limit: after one body of a
    megabyte all others come from its heaps, which keep what is freed. Other C libraries have no ``mallopt``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _keep_to_a_core(settings: Settings, number: int) -> None:
    """Where there is one web process for each core, let each have its own.

    A process of Python has one thread at work at a time, and these hand over to each other all the time: from core to
    core that costs a tenth of an order. With fewer processes than cores the kernel finds better places for them.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1 and settings.web_processes == len(cores):
        os.sched_setaffinity(0, {cores[number - 1]})


def _end_with_the_master(master: Pipe) -> None:
    """Wait until the master is gone, however it went, and go too: at once, as it did."""
    master.poll(None)
    os._exit(1)
