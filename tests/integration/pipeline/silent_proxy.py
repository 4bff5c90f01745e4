"""A way to a server that can be closed without a word: what is sent is taken, and nothing comes back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SilentProxy:
    """Passes bytes on between its port and another one, while it is open."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        #: How many connections were opened.
        self.accepted = 0
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Nothing passes any more, and nothing is closed."""
        self._open.clear()

    def speak(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.set()
        for each in self._sockets:
            with suppress(OSError):  # it may be closed already
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either end was closed
            while received := source.recv(65_536):
                self._open.wait()
                sink.sendall(received)
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def silent_proxy(target: int, port: int = 0) -> Iterator[SilentProxy]:
    proxy = SilentProxy(target, port)
    try:
        yield proxy
    finally:
        proxy.close()
