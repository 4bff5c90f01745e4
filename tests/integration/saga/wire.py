"""What goes over the connections to PostgreSQL: each statement that is sent is waited for, so each is a round trip."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

_SSL_REQUEST = 80877103


class Wire:
    """Stands between a process and PostgreSQL, and notes what is asked: BEGIN, COMMIT and the look whether a connection
    still lives included. All wires note into one list, in which the turn of all processes is to be seen."""

    def __init__(self, name: str, port: int, heard: list[tuple[str, str]]) -> None:
        self._name, self._port, self._heard = name, port, heard
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    @classmethod
    @contextmanager
    def laid(cls, name: str, port: int, heard: list[tuple[str, str]]) -> Iterator[Self]:
        wire = cls(name, port, heard)
        wire._begin(wire._accept)
        try:
            yield wire
        finally:
            for each in wire._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            for thread in wire._threads:
                thread.join(10)

    def _begin(self, work: object, *given: object) -> None:
        self._threads.append(threading.Thread(target=work, args=given))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                self._begin(self._carry, client, server, True)
                self._begin(self._carry, server, client, False)

    def _carry(self, source: socket.socket, target: socket.socket, listens: bool) -> None:
        unread, started = b"", False
        with suppress(OSError):
            while piece := source.recv(65_536):
                if listens:
                    unread, started = self._note(unread + piece, started)
                target.sendall(piece)

    def _note(self, unread: bytes, started: bool) -> tuple[bytes, bool]:
        """Take whole messages off; before the session has started they have no type."""
        while True:
            head = 1 if started else 0
            if len(unread) < head + 4:
                return unread, started
            end = head + int.from_bytes(unread[head : head + 4], "big")
            if len(unread) < end:
                return unread, started
            message, unread = unread[:end], unread[end:]
            if not started:
                started = int.from_bytes(message[4:8], "big") != _SSL_REQUEST
            elif message[:1] == b"Q":
                self._heard.append((self._name, message[5:-1].decode()))
