"""The stack that is tormented: `conveyor run` in a directory and on ports of its own, seen from outside."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import cast

from chassis.errors import ConveyorError
from chassis.settings import PREFIX, Settings
from conveyor import SERVICES, stack
from conveyor.chaos.schedule import processes
from conveyor.children import answers, variables
from conveyor.embedded.ports import free_ports
from conveyor.embedded.processes import RECORD, Process, end_left_behind, members, tail
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.server import Server
from conveyor.embedded.valkey import Valkey
from conveyor.ports import RELAYS, SERVERS, WEB
from conveyor.servers import Servers

#: Seconds until the whole stack has to be ready, and to end.
START_PATIENCE, STOP_PATIENCE = 240.0, 90.0
POLL = 0.1
#: What of the settings is the stack's too: which broker it takes, and how many processes of each kind it has.
SHARED = ("embedded_broker", "workers", "relays", "web_processes")


class VictimFailed(ConveyorError):
    """The stack did not do what it has to do for a run to make sense."""


class Victim:
    """One stack, whatever is done to it. The state directory is forgotten before it starts, and kept afterwards."""

    def __init__(self, settings: Settings, state: Path) -> None:
        """``settings`` say which broker to take and how many of each; all else that leads to a stack is its own."""
        self.state = state.absolute()
        ports = free_ports()
        chosen: dict[str, object] = {name: next(ports) for name in (*WEB, *SERVERS)}
        chosen |= {name: f"127.0.0.1:{next(ports)}" for name in RELAYS}
        chosen |= {name: getattr(settings, name) for name in SHARED} | {"state_dir": str(self.state)}
        own = replace(Settings(), **chosen)  # type: ignore[arg-type]
        self._servers = Servers.chosen(own, self.state)
        self._own = own
        self._supervisor: subprocess.Popen[bytes] | None = None
        self.log = self.state / "logs" / "supervisor.log"

    @property
    def rabbitmq(self) -> RabbitMQ | None:
        """Its RabbitMQ; None where a Valkey stands in."""
        broker = self._servers.broker
        return broker if isinstance(broker, RabbitMQ) else None

    @property
    def valkey(self) -> Valkey:
        return cast(Valkey, self._servers.valkey)

    def server(self, name: str) -> Server:
        """``broker``, ``postgres`` or ``valkey``."""
        return cast(Server, getattr(self._servers, name))

    @property
    def settings(self) -> Settings:
        """What leads to it, passwords included; to be asked for once it has started."""
        return self._servers.lead_to(self._own)

    def start(self) -> None:
        """Forget what was there, start everything and wait until all of it is ready. Raises VictimFailed."""
        stack.forget(self.state)
        self.log.parent.mkdir(mode=0o700, parents=True)
        self.state.chmod(0o700)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "FLOWER_"))}
        with self.log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "conveyor", "run", "--no-first-order"],
                env={**inherited, **variables(self._own)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us, who end it properly
            )
        if not wait_for(lambda: self._is_ready() or not self.running(), START_PATIENCE) or not self.running():
            raise VictimFailed(f"the stack did not get ready; the last lines of {self.log}:\n{tail(self.log)}")

    def running(self) -> bool:
        """Does its supervisor run? It is the one process that nobody torments."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def stop(self) -> None:
        """End all of it, paused processes included; what does not end is killed."""
        self.resume_all()
        if self._supervisor is not None and self.running():
            self._supervisor.send_signal(SIGTERM)
            try:
                self._supervisor.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
        if self.state.exists():
            end_left_behind(self.state, keep=())

    def process(self, target: str) -> Process | None:
        """The process of this name as it runs now, None while it does not; ``.child`` belongs to the one before it."""
        return Process.recorded(self._record(target.removesuffix(".child")))

    def pids(self, target: str) -> list[int]:
        """Whom a signal to this target goes to: the process itself, or, behind ``.child``, what serves for it."""
        process = self.process(target)
        if process is None:
            return []
        if not target.endswith(".child"):
            return [process.pid]
        return [pid for pid in members(process.pid) if pid != process.pid]

    def resume_all(self) -> None:
        """Let everything go on that was paused. Does no harm to what was not."""
        for record in self.state.glob(f"*/*{RECORD}"):
            process = Process.recorded(record)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, SIGCONT)

    def kill(self, target: str) -> bool:
        """SIGKILL; False where there is nobody to kill."""
        pids = self.pids(target)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        return bool(pids)

    def unwell(self) -> list[str]:
        """What does not run or is not ready at this moment."""
        ours = [name for name in processes(self._own.workers, self._own.relays) if not name.endswith(".child")]
        dead = [name for name in (*ours, "broker", "postgres", "valkey") if self.process(name) is None]
        waiting = [
            name for name in ours if name not in ("gateway", *SERVICES) and not (self.state / "ready" / name).exists()
        ]
        ill = [name for name in ("broker", "postgres", "valkey") if not dead and not self.server(name).healthy()]
        refusing = [] if answers(f"{self.settings.gateway_url}/health")() else ["gateway /health"]
        return sorted({*dead, *waiting, *ill, *refusing})

    def _record(self, name: str) -> Path:
        if name in ("broker", "postgres", "valkey"):
            server = self.server(name)
            return server.directory / f"{server.name}{RECORD}"
        return self.state / "processes" / f"{name}{RECORD}"

    def _is_ready(self) -> bool:
        found = stack.running(self.state)
        return found is not None and found.ready


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Poll until the condition holds; False where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True
