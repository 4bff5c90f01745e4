"""Sends CLIENTS large requests at once to PORT, every second, until its input ends: ``PORT CLIENTS KIND``.

KIND is one of the bodies of a megabyte below, none of which can be valid, or ``all`` of them in turn, or ``list`` for a
page of orders. Says at the end how many of which status came, the slowest (seconds) and the largest (bytes) answer, and
how many mistakes an answer told of at most.
"""

import http.client
import json
import sys
import threading
import time

MEGABYTE = 1_040_000
LINE = '{"product_id":"0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10","quantity":1}'


def filled(element: str) -> str:
    """An order with nothing but this in its list of lines."""
    lines = ",".join([element] * ((MEGABYTE - 100) // (len(element) + 1)))
    return '{"customer_id":"0192f0bf-2d11-7b0c-8a55-3c1f9a7e6d02","items":[' + lines + "]}"


BODIES = {
    "numbers": filled("1"),
    "objects": filled("{}"),
    "lists": filled("[]"),
    "texts": filled('""'),
    "lines": filled(LINE),
    "bad lines": filled('{"product_id":1,"quantity":0}'),
    "unknown fields": "{" + ",".join(f'"{each}":1' for each in range(95_000)) + "}",
    "deep": "[" * MEGABYTE,
    "deep objects": '{"a":' * (MEGABYTE // 5),
    "one long name": '{"' + "n" * (MEGABYTE - 10) + '":1}',
    "one long text": '{"customer_id":"' + "," * (MEGABYTE - 30) + '"}',
    "one long number": '{"customer_id":' + "9" * (MEGABYTE - 30) + "}",
    "the same name": '{"items":[' + LINE + "]" + ',"items":[]' * (MEGABYTE // 12) + "}",
}
PATHS = ("/orders", "/check-availability", "/customers", "/products")


class Client(threading.Thread):
    """One of them."""

    def __init__(self, port: int, kind: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.stop = port, stop
        self.kinds = list(BODIES) if kind == "all" else [kind]
        self.statuses: dict[str, int] = {}
        self.slowest, self.largest, self.mistakes = 0.0, 0, 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        turn = 0
        while not self.stop.is_set():
            kind = self.kinds[turn % len(self.kinds)]
            begun = time.monotonic()
            try:
                if kind == "list":
                    connection.request("GET", "/orders?limit=100")
                else:
                    path = PATHS[turn // len(self.kinds) % len(PATHS)]
                    connection.request("POST", path, BODIES[kind], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body, status = answer.read(), str(answer.status)
                if kind != "list":
                    self.mistakes = max(self.mistakes, len(json.loads(body)["errors"]))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                body, status = b"", type(error).__name__
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.largest = max(self.largest, len(body))
            turn += 1
            self.stop.wait(1.0 - time.monotonic() % 1.0)  # until all send the next


def main() -> None:
    port, clients, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    stop = threading.Event()
    crowd = [Client(port, kind, stop) for _ in range(clients)]
    for each in crowd:
        each.start()
    print(json.dumps({"in_place": True}), flush=True)
    sys.stdin.read()
    stop.set()
    for each in crowd:
        each.join(60)
    statuses: dict[str, int] = {}
    for each in crowd:
        for status, count in each.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    fate = {
        "statuses": statuses,
        "slowest": max(each.slowest for each in crowd),
        "largest": max(each.largest for each in crowd),
        "mistakes": max(each.mistakes for each in crowd),
    }
    print(json.dumps(fate), flush=True)


main()
