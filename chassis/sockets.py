"""Time-outs of sockets, kept by the kernel.

A machine or a network that dies says nothing: without these a connection to it stays open, and whoever waits for an
answer waits for a quarter of an hour, or for ever. A server that is there and does nothing, or a proxy that answers for
one that is gone, is no matter of the kernel's: there heartbeats help, and time-outs of requests.
"""

import socket
import ssl
import struct
from typing import Any

#: Seconds: a connection on which nothing comes is asked after so many, again after so many, and given up after so many
#: in which what was sent was not acknowledged.
ASK_AFTER, ASK_AGAIN_AFTER, GIVE_UP_AFTER = 5, 2, 8
_TRIES = (GIVE_UP_AFTER - ASK_AFTER) // ASK_AGAIN_AFTER + 1

#: For libpq, which knows what the system can.
POSTGRESQL: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": ASK_AFTER,
    "keepalives_interval": ASK_AGAIN_AFTER,
    "keepalives_count": _TRIES,
    "tcp_user_timeout": GIVE_UP_AFTER * 1000,
}

_NAMED = {
    "TCP_KEEPIDLE": ASK_AFTER,
    "TCP_KEEPINTVL": ASK_AGAIN_AFTER,
    "TCP_KEEPCNT": _TRIES,
    "TCP_USER_TIMEOUT": GIVE_UP_AFTER * 1000,
}
#: By number, for whoever sets them himself; macOS has not all of them.
OPTIONS: dict[int, int] = {getattr(socket, name): value for name, value in _NAMED.items() if hasattr(socket, name)}


def limit(connection: socket.socket, seconds: float) -> None:
    """Let no single read or write on this connection take longer than that.

    One that does raises BlockingIOError; where TLS is spoken, TimeoutError. Both are OSErrors.

    Python's own time-outs ask the kernel twice for each read and write (poll, then read) and let go of the interpreter
    lock both times; with 32 requests under way, waiting for that lock again is a large part of what a request costs.
    """
    if isinstance(connection, ssl.SSLSocket):  # OpenSSL would take the kernel's time-out for "try again"
        connection.settimeout(seconds)
        return
    connection.settimeout(None)
    whole = int(seconds)
    limit_ = struct.pack("ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1))  # 0 would be: no limit
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit_)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit_)
