"""One connection to Redis for commands with plain answers, in as little of its protocol (RESP 2) as these need.

redis-py connects (address, TLS, password, database); writing and reading through it cost three times the CPU.
"""

import socket
import weakref
from typing import Any

import redis

from chassis.sockets import limit

Part = str | bytes | int

_READ = 65_536


class CommandConnection:
    """For one thread at a time. Connects when it is first used, and again after it was closed."""

    def __init__(self, made: Any, timeout: float) -> None:
        """``made`` is a connection of redis-py; ``timeout`` (seconds) is for each silence of Redis."""
        self._made = made
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def exchange(self, commands: list[tuple[Part, ...]]) -> list[Any]:
        """Redis' answers to these commands, in one round trip: bytes, int or None.

        Raises what redis-py does: ConnectionError, TimeoutError, ResponseError. The connection has to be closed then.
        """
        connected = self._socket or self._connect()
        received = b""
        try:
            connected.sendall(b"".join(map(_packed, commands)))
            while (answers := _answers(received, len(commands))) is None:
                received += _receive(connected)
        except OSError as error:
            raise _meaning(error) from error
        return answers

    def close(self) -> None:
        """End it, until it is used again."""
        self._socket = None
        self._made.disconnect()

    def _connect(self) -> socket.socket:
        self._made.connect()
        connected: socket.socket = self._made._sock
        weakref.finalize(self, connected.close)  # with the cache that it belongs to
        limit(connected, self._timeout)
        self._socket = connected
        return connected


def _receive(connected: socket.socket) -> bytes:
    received = connected.recv(_READ)
    if not received:
        raise ConnectionResetError("Redis closed the connection")
    return received


def _packed(command: tuple[Part, ...]) -> bytes:
    pieces = [b"*%d\r\n" % len(command)]
    for part in command:
        value = part if isinstance(part, bytes) else str(part).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(pieces)


def _answers(received: bytes, count: int) -> list[Any] | None:
    """So many answers; None where they have not all come yet. Raises ResponseError for a command that was refused."""
    answers: list[Any] = []
    begin = 0
    while len(answers) < count:
        end = received.find(b"\r\n", begin)
        if end < 0:
            return None
        kind, value = received[begin : begin + 1], received[begin + 1 : end]
        begin = end + 2
        if kind == b"$" and value != b"-1":
            end = begin + int(value)
            if len(received) < end + 2:
                return None
            answers.append(received[begin:end])
            begin = end + 2
        elif kind == b"$":
            answers.append(None)
        elif kind == b"+":
            answers.append(value)
        elif kind == b":":
            answers.append(int(value))
        else:
            raise redis.ResponseError(value.decode())
    return answers


def _meaning(error: OSError) -> redis.RedisError:
    if isinstance(error, BlockingIOError | TimeoutError):
        return redis.TimeoutError("Redis did not answer in time")
    return redis.ConnectionError(str(error))
