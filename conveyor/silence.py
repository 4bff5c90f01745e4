"""A PostgreSQL that says nothing: a command notices, where libpq would wait for it for ever.

A server that is stopped, or behind a link that is down, still seems to be connected. A statement may take long, so
silence alone is no reason to give up; but whoever asks anew is answered at once by a server that works.
"""

import select
import socket
import struct
import time
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Dialect, Engine, event

#: Seconds of silence after which the server is asked whether it is there, and in which it has to answer.
PAUSE = 5.0
#: What a client says first where it would like TLS; every server answers it with one byte.
_TLS_PLEASE = struct.pack("!ii", 8, 80_877_103)


def heed_silence() -> None:
    """From now on every connection of this process is watched. For commands: threads that compete would be slower."""
    extensions.set_wait_callback(_wait)
    event.listen(Engine, "do_connect", _connect_to_one)


def _connect_to_one(dialect: Dialect, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Of several servers the next is tried where one is silent: libpq itself waits for it as long as it is watched."""
    hosts, ports = (str(options.get(each, "")).split(",") for each in ("host", "port"))
    if len(hosts) == 1:
        return None  # as ever
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        try:
            return dialect.connect(*arguments, **{**options, "host": host, "port": port})
        except psycopg2.OperationalError as error:
            refused = error
    raise refused


def _wait(connection: Any) -> None:
    poller = select.poll()
    begun = time.monotonic()
    while (state := connection.poll()) != extensions.POLL_OK:
        events = select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
        poller.register(connection.fileno(), events)
        if poller.poll(PAUSE * 1_000):
            continue
        connecting = connection.info.status != 0  # libpq's CONNECTION_OK
        if connecting and time.monotonic() - begun < PAUSE:
            continue
        if connecting or not _answers(connection.info.host, connection.info.port):
            raise psycopg2.OperationalError(f"{connection.info.host}:{connection.info.port} does not answer")


def _answers(host: str, port: int) -> bool:
    try:
        with _connected(host, port) as asked:
            asked.sendall(_TLS_PLEASE)
            return bool(asked.recv(1))
    except OSError:
        return False


def _connected(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=PAUSE)
    local = socket.socket(socket.AF_UNIX)
    local.settimeout(PAUSE)
    local.connect(f"{host}/.s.PGSQL.{port}")
    return local
