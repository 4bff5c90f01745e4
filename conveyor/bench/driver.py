"""The clients: each has one connection, and sends its next request when its last one is answered.

They are a process of their own with one thread, which imports nothing but the standard library: on a small machine
every millisecond of theirs is taken from the system that they measure. Requests come as bytes that were made before,
and of an answer only the status and the length are read. The same clients drive every system that is compared.
"""

import os
import pickle
import re
import resource
import selectors
import socket
import sys
import time
from contextlib import suppress

from conveyor.bench.answers import Answers, Load, answer_in

#: Seconds without any answer after which the clients give up.
PATIENCE = 60.0
#: Seconds between two lines about the progress.
TELL_EVERY = 5.0
#: "Not now": the same request is sent again after as many seconds as the answer says, or this many.
NOT_NOW, PAUSE = (429, 503), 1.0
MOST_ERRORS = 5

_RETRY = re.compile(rb"\r\nretry-after:\s*(\d+)", re.IGNORECASE)


class NoAnswer(Exception):
    """No client was given an answer for a long time."""


class _Client:
    """One connection, and the request that waits for its answer there."""

    __slots__ = ("address", "due", "first_sent", "received", "request", "used", "wire")

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.request, self.received, self.first_sent = b"", b"", 0.0
        self.due = False  # is there an answer to come?
        self.connect()

    def connect(self) -> None:
        self.wire = socket.create_connection(self.address, timeout=PATIENCE)
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire.settimeout(None)  # read only when there is something to read
        self.used = False

    def send(self, request: bytes) -> None:
        self.request, self.first_sent = request, time.perf_counter()
        self.send_again()

    def send_again(self) -> None:
        self.received, self.due = b"", True
        with suppress(ConnectionError):  # reading will tell
            self.wire.sendall(self.request)

    def read(self) -> tuple[int, bytes, bytes] | None:
        """Status, head and body, as soon as all of it is there. Raises ConnectionError where the server hung up."""
        more = self.wire.recv(262_144)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        self.received = self.received + more if self.received else more
        answer = answer_in(self.received)
        self.used = self.used or answer is not None
        return answer


class Clients:
    """All clients of one load: connected when made, sending when told to ``run``."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left = iter(load.requests)
        self._answers = Answers()
        self._selector = selectors.DefaultSelector()
        self._resting: list[tuple[float, _Client]] = []
        self._waiting = 0
        self._clients = [_Client((load.host, load.port)) for _ in range(min(load.clients, len(load.requests)))]

    def run(self) -> Answers:
        """Send everything. Raises NoAnswer, OSError where the server is not there, ValueError where it is no HTTP."""
        answers, used = self._answers, _cpu()
        answers.began, self._start = time.time(), time.perf_counter()
        try:
            for client in self._clients:
                self._selector.register(client.wire, selectors.EVENT_READ, client)
                self._next(client)
            self._hear_all()
        finally:
            for client in self._clients:
                client.wire.close()
            self._selector.close()
        answers.ended = answers.began + time.perf_counter() - self._start
        answers.cpu = _cpu() - used
        return answers

    def _hear_all(self) -> None:
        last_answer = told = self._start
        while self._waiting or self._resting:
            ready = self._selector.select(0.05 if self._resting else TELL_EVERY)
            now = time.perf_counter()
            for key, _ in ready:
                self._hear(key.data)
                last_answer = now
            for rested in [each for each in self._resting if each[0] <= now]:
                self._resting.remove(rested)
                self._again(rested[1])
                last_answer = now
            if now - told > TELL_EVERY:
                told = now
                done = len(self._answers.took)
                print(f"    {done:,} of {len(self._load.requests):,} {self._load.label}", file=sys.stderr)
            if now - last_answer > PATIENCE:
                raise NoAnswer(f"no answer for {PATIENCE:g} s, after {len(self._answers.took):,} of them")

    def _next(self, client: _Client) -> None:
        request = next(self._left, None)
        if request is not None:
            self._waiting += 1
            client.send(request)

    def _hear(self, client: _Client) -> None:
        try:
            heard = client.read()
        except ConnectionError:
            self._reconnect(client)
            return
        if heard is None:
            return
        self._waiting -= 1
        client.due = False
        status, head, body = heard
        if status in NOT_NOW:
            self._rest(client, head)
            return
        now = time.perf_counter()
        self._answers.sent.append(client.first_sent - self._start)
        self._answers.took.append(now - client.first_sent)
        self._answers.statuses[status] += 1
        if status >= 300 and len(self._answers.errors) < MOST_ERRORS:
            self._answers.errors.append(f"{status} {body[:300].decode(errors='replace')}")
        self._next(client)

    def _rest(self, client: _Client, head: bytes) -> None:
        self._answers.turned_away += 1
        said = _RETRY.search(head)
        self._resting.append((time.perf_counter() + (float(said[1]) if said else PAUSE), client))

    def _again(self, client: _Client) -> None:
        self._waiting += 1
        client.send_again()

    def _reconnect(self, client: _Client) -> None:
        """A server may close a connection that it has answered on; what was sent there is sent again, under its key."""
        self._selector.unregister(client.wire)
        client.wire.close()
        if not client.used:
            raise ConnectionResetError(f"{client.address[0]}:{client.address[1]} hangs up on every request")
        client.connect()
        self._selector.register(client.wire, selectors.EVENT_READ, client)
        if client.due:
            client.send_again()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve() -> None:
    """The process: a pickled ``Load`` comes in, ``ready`` goes out, any line starts it, pickled ``Answers`` go out."""
    answer = os.fdopen(os.dup(1), "wb")
    load: Load = pickle.load(sys.stdin.buffer)
    try:
        clients = Clients(load)
        answer.write(b"ready\n")
        answer.flush()
        if sys.stdin.buffer.readline():
            pickle.dump(clients.run(), answer)
            answer.flush()
    except (NoAnswer, OSError, ValueError) as error:
        sys.exit(f"    the clients: {error}")
