"""How each torment is done. All of them wait until there is something to do it to, and say what they did."""

import contextlib
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSTOP

import redis
import urllib3

from conveyor.chaos.schedule import Action, Kind
from conveyor.chaos.tap import Tap
from conveyor.chaos.victim import Victim, wait_for
from conveyor.embedded.processes import EmbeddedError, Process
from conveyor.embedded.rabbitmq import VHOST, RabbitMQ
from conveyor.embedded.server import Server

#: Seconds that a torment waits for its victim, which another may just have killed.
PATIENCE = 45.0
#: Seconds that a server has been well before it is killed again. RabbitMQ 3.10, killed while it still sets up the
#: queues it has just found, may come back with a queue that nobody can use for a minute.
STEADY = {"broker": 12.0, "postgres": 3.0, "valkey": 1.0}
POLICY = "chaos-cap-"

Say = Callable[[str], None]


class Tormentors:
    """Does what a schedule says to one stack, and counts: ``kills``, ``restarts``, ``pauses``, ..., ``missed``."""

    def __init__(self, victim: Victim, tap: Tap, seed: int, say: Say) -> None:
        self._victim = victim
        self._tap = tap
        self._seed = seed
        self._say = say
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._well_since = dict.fromkeys(STEADY, time.monotonic())
        self._over = threading.Event()
        self.done: Counter[str] = Counter()
        self._ways: dict[Kind, Callable[[Action], str]] = {
            Kind.KILL: self._kill,
            Kind.PAUSE: self._pause,
            Kind.CRASH: self._restart,
            Kind.STOP: self._restart,
            Kind.FLUSH: self._flush,
            Kind.CAP: self._cap,
            Kind.DUPLICATE: self._send_again,
            Kind.STALE: self._send_again,
        }

    def do(self, action: Action) -> None:
        """Do it now, and wait until it is over: a pause is resumed, a restarted server is back."""
        said = self._ways[action.kind](action)
        self._say(f"{str(action)[11:]}: {said}")

    def stop(self) -> None:
        """What lasts ends at once."""
        self._over.set()

    def _kill(self, action: Action) -> str:
        if not self._wait(lambda: self._victim.pids(action.target)):
            return self._missed("it did not run")
        self._victim.kill(action.target)
        self.done["kills"] += 1
        return "killed"

    def _pause(self, action: Action) -> str:
        with self._locks[action.target] if action.target in STEADY else contextlib.nullcontext():
            if not self._wait(lambda: self._victim.pids(action.target)):
                return self._missed("it did not run")
            process, pids = self._victim.process(action.target), self._victim.pids(action.target)
            if process is None or not pids:
                return self._missed("it did not run")
            whole = not action.target.endswith(".child")
            self._signal(process, pids, SIGSTOP, whole)
            self.done["pauses"] += 1
            self._over.wait(action.lasts)
            self._signal(process, pids, SIGCONT, whole)
            return "went on" if process.alive() else "was killed meanwhile"

    def _signal(self, process: Process, pids: list[int], number: int, whole: bool) -> None:
        """To a process with what it has forked, or only to what serves for it."""
        with contextlib.suppress(ProcessLookupError):
            if process.alive() and whole:
                os.killpg(process.pid, number)
            elif process.alive():
                for pid in pids:
                    os.kill(pid, number)

    def _restart(self, action: Action) -> str:
        server = self._victim.server(action.target)
        with self._locks[action.target]:
            if not self._steady(action.target, server):
                return self._missed("it was not well")
            process = self._victim.process(action.target)
            if process is None:
                return self._missed("it did not run")
            process.signal(SIGKILL if action.kind == Kind.CRASH else server.stop_signal)
            self.done["restarts"] += 1
            began = time.monotonic()
            process.wait(PATIENCE)
            back = self._wait(lambda: self._victim.process(action.target) and server.healthy(), 2 * PATIENCE)
            self._well_since[action.target] = time.monotonic()
            return f"back after {time.monotonic() - began:.1f} s" if back else "not back yet"

    def _steady(self, target: str, server: Server) -> bool:
        """Wait until the server has been well for as long as it needs."""
        if not self._wait(server.healthy):
            return False
        self._over.wait(max(0.0, self._well_since[target] + STEADY[target] - time.monotonic()))
        return not self._over.is_set() and server.healthy()

    def _flush(self, action: Action) -> str:
        def flush() -> bool:
            with contextlib.suppress(redis.RedisError), self._victim.valkey.client() as client:
                return bool(client.flushall())
            return False

        if not self._wait(flush):
            return self._missed("nobody answered")
        self.done["flushes"] += 1
        return "flushed"

    def _cap(self, action: Action) -> str:
        broker = self._victim.rabbitmq
        if broker is None:
            return self._missed("needs RabbitMQ")
        definition = {"max-length": action.number, "overflow": "reject-publish"}
        policy = {"pattern": f"^{action.target}$", "definition": definition, "apply-to": "queues"}
        path = f"policies/{VHOST}/{POLICY}{action.target}"
        if not self._wait(lambda: managed(broker, "PUT", path, policy)):
            return self._missed("RabbitMQ did not answer")
        self.done["caps"] += 1
        self._over.wait(action.lasts)
        removed = self._wait(lambda: managed(broker, "DELETE", path))
        return "capped, and no more" if removed else "capped; the cap is removed at the end"

    def _send_again(self, action: Action) -> str:
        chance = random.Random(f"{self._seed}/{action.at}")
        copies = self._tap.newest(action.number)
        if action.kind == Kind.STALE:
            copies = self._tap.old(action.number, chance)
        if not copies:
            return self._missed("none has passed yet")
        sent = 0

        def send() -> int:
            nonlocal sent
            sent = self._tap.send_again(copies)
            return sent

        if not self._wait(send):
            return self._missed("the broker was away")
        self.done["duplicates"] += sent
        return f"{sent} sent"

    def _wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
        return wait_for(lambda: condition() or self._over.is_set(), seconds) and not self._over.is_set()

    def _missed(self, why: str) -> str:
        self.done["missed"] += 1
        return f"missed, {why}"


def managed(broker: RabbitMQ, method: str, path: str, body: object = None) -> bool:
    """Whether RabbitMQ's management did this; a thing that is not there is as good as removed."""
    try:
        broker.management(method, path, body)
    except EmbeddedError as error:
        return method == "DELETE" and ": 404 " in str(error)
    except urllib3.exceptions.HTTPError:
        return False
    return True


def remove_caps(victim: Victim) -> bool:
    """Remove what caps there still are; False where RabbitMQ does not answer."""
    broker = victim.rabbitmq
    if broker is None:
        return True
    try:
        policies = broker.management("GET", f"policies/{VHOST}")
    except (EmbeddedError, urllib3.exceptions.HTTPError):
        return False
    names = [each["name"] for each in policies if each["name"].startswith(POLICY)]
    return all(managed(broker, "DELETE", f"policies/{VHOST}/{name}") for name in names)
