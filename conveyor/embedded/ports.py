"""Ports to listen on: one that has to be free, and ones that are."""

import contextlib
import errno
import random
import socket
from collections.abc import Iterator

from conveyor.embedded.processes import EmbeddedError

#: Where free ports are looked for.
PORTS = range(20_000, 32_768)


class PortTaken(EmbeddedError):
    """A port that is needed here cannot be listened on: as a rule because another program does."""

    def __init__(self, port: int, host: str, why: str) -> None:
        super().__init__(f"port {port} on {host} {why}")
        self.port = port
        self.why = f"on {host} {why}"


def require_free(port: int, host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Raises PortTaken where this port cannot be listened on, because another program does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:  # a port that is only waiting out its last connection is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise PortTaken(port, host, "is no port: the highest is 65535") from None
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be listened on: {error.strerror}"
            raise PortTaken(port, host, why) from None


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on, by TCP or UDP, each given once. Raises EmbeddedError when there are no more.

    They are below those that a system gives to outgoing connections, so they stay free until they are needed, and
    while a server that was killed starts again.
    """
    first = random.SystemRandom().randrange(len(PORTS))
    for port in (*PORTS[first:], *PORTS[:first]):
        with contextlib.suppress(PortTaken):
            require_free(port)
            require_free(port, kind=socket.SOCK_DGRAM)
            yield port
    raise EmbeddedError(f"no port from {PORTS.start} to {PORTS.stop} is free")


_FREE = free_ports()


def free_port() -> int:
    """A port that nobody listens on, and that this process was not given before. Raises EmbeddedError."""
    return next(_FREE)
