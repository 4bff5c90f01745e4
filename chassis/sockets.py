"""Time-outs of sockets, kept by the kernel."""

import socket
import ssl
import struct


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
