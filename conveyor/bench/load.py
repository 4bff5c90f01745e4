"""Requests as bytes, and the process that sends them."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from chassis.errors import ConveyorError
from conveyor.bench.answers import Answers, Load


class LoadFailed(ConveyorError):
    """The clients could not do what they were told."""


def request(method: str, url: str, path: str, body: object = None) -> bytes:
    """One HTTP request, whole, with an idempotency key of its own where it creates something."""
    raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "User-Agent: conveyor-bench"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
    if method == "POST":
        lines.append(f"Idempotency-Key: {uuid4()}")
    return "\r\n".join([*lines, "", ""]).encode() + raw


class Driver:
    """The clients' process, connected and ready: ``run`` starts it and waits until everything is answered."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def run(self) -> Answers:
        """Raises LoadFailed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        try:
            answers: Answers = pickle.load(self._process.stdout)
        except EOFError:
            raise LoadFailed("the clients gave up: their last words are above") from None
        return answers


@contextmanager
def driver(url: str, requests: Sequence[bytes], clients: int, label: str = "requests") -> Iterator[Driver]:
    """Clients that are connected to ``url`` and have all these requests ready. Raises LoadFailed."""
    at = urlsplit(url)
    load = Load(at.hostname or "127.0.0.1", at.port or 80, list(requests), clients, label)
    process = subprocess.Popen(
        [sys.executable, "-c", "from conveyor.bench.driver import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump(load, process.stdin)
        process.stdin.flush()
        if process.stdout.readline() != b"ready\n":
            raise LoadFailed(f"the clients cannot connect to {url}: their last words are above")
        yield Driver(process)
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def send(url: str, requests: Sequence[bytes], clients: int, label: str = "requests") -> Answers:
    """Send all of these, and wait for the answers. Raises LoadFailed."""
    with driver(url, requests, clients, label) as ready:
        return ready.run()
