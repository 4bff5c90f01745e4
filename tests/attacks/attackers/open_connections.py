"""Opens COUNT connections to PORT, sends the same beginning on each, and then holds them: ``COUNT PORT BEGINNING``.

BEGINNING is what is sent, with ``\\r\\n`` written out; a further argument ``drip=SECONDS`` sends one byte more on each
connection every so many seconds. Says how many it has opened, and, once its input ends, what became of them.
"""

import json
import resource
import selectors
import socket
import sys
import time


def main() -> None:
    count, port = int(sys.argv[1]), int(sys.argv[2])
    beginning = sys.argv[3].encode().decode("unicode_escape").encode("latin-1")
    drip = float(sys.argv[4].removeprefix("drip=")) if len(sys.argv) > 4 else None
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    statuses: dict[str, int] = {}
    begun = time.monotonic()
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 30)
        connection.sendall(beginning)
        if beginning.endswith(b"\r\n\r\n") and beginning.startswith(b"GET"):
            answered(connection, statuses)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, number)
    opened = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 30) as last:
        last.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        last.recv(1)  # all that came before it are taken in by now
    figures = {"seconds": opened - begun, "answered_after": time.monotonic() - opened}
    print(json.dumps({"in_place": True, **figures}), flush=True)
    selector.register(sys.stdin, selectors.EVENT_READ)
    hold(selector, drip, statuses)


def answered(connection: socket.socket, statuses: dict[str, int]) -> None:
    """Take the answer to a whole request: only then is the connection idle."""
    note(connection.recv(65_536), statuses)


def note(received: bytes, statuses: dict[str, int]) -> None:
    if received.startswith(b"HTTP/"):
        status = received[9:12].decode()
        statuses[status] = statuses.get(status, 0) + 1


def hold(selector: selectors.DefaultSelector, drip: float | None, statuses: dict[str, int]) -> None:
    """Hold all until standard input ends; then say which statuses came first, how many closed, how many were heard."""
    closed, first_closed = 0, None
    heard: set[int] = set()
    begun = time.monotonic()
    dripped: dict[socket.socket, float] = {}
    while True:
        for key, _events in selector.select(0.05 if drip else 1.0):
            if key.fileobj is sys.stdin:
                fate = {"closed": closed, "first_closed_after": first_closed, "statuses": statuses, "heard": len(heard)}
                print(json.dumps(fate), flush=True)
                return
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            try:
                received = connection.recv(65_536)
            except ConnectionError:
                received = b""
            note(received, statuses)
            heard |= {key.data} if received else set()
            if not received:
                closed += 1
                first_closed = first_closed or time.monotonic() - begun
                selector.unregister(connection)
                connection.close()
        if drip is not None:
            held = [key.fileobj for key in selector.get_map().values() if isinstance(key.fileobj, socket.socket)]
            due = [each for each in held if dripped.get(each, begun) + drip < time.monotonic()]
            for connection in due[: len(held) // 20]:  # spread: they did not all begin at one moment
                dripped[connection] = time.monotonic()
                send_one_more(connection)


def send_one_more(connection: socket.socket) -> None:
    try:
        connection.send(b" ")
    except OSError:
        return  # it is seen as closed when it is read


if __name__ == "__main__":
    main()
