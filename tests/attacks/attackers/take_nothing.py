"""Asks for a long answer again and again on COUNT connections and takes none of it: ``COUNT PORT PATH REQUESTS``.

Says when it is in place, and, once its input ends, how many connections were cut off and after how many seconds the
first and the last were.
"""

import json
import resource
import selectors
import socket
import sys
import time


def main() -> None:
    count, port, path, requests = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    for _each in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * requests)
        connection.recv(16, socket.MSG_PEEK)  # the answer has begun
        connections.append(connection)
    begun = time.monotonic()
    print(json.dumps({"in_place": True}), flush=True)
    cut_off: list[float] = []
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    while not selector.select(0.5):
        for connection in list(connections):
            if not asks_for_more(connection):
                cut_off.append(time.monotonic() - begun)
                connections.remove(connection)
                connection.close()
    first, last = (cut_off[0], cut_off[-1]) if cut_off else (None, None)
    print(json.dumps({"cut_off": len(cut_off), "first_after": first, "last_after": last}), flush=True)


def asks_for_more(connection: socket.socket) -> bool:
    """Whether the connection still is one: something is sent on it, which its other end would refuse."""
    try:
        connection.send(b"\r\n", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
