"""The system to measure: the one that is there, or one of our own, on ports of its own, for as long as it takes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from chassis.errors import ConveyorError
from chassis.settings import PREFIX, Settings, read
from conveyor import stack
from conveyor.embedded.ports import free_ports
from conveyor.embedded.processes import inherited, tail
from conveyor.servers import provide_rabbitmq
from conveyor.target import LEADING, leads_elsewhere, target
from conveyor.terminal import say

#: Seconds that a stack of our own may take to get ready.
START_PATIENCE = 180.0

#: The settings that say where a stack stands: one of our own has places of its own.
PLACES = {"state_dir", "ready_file", "port_base", *LEADING} | {
    each.name for each in fields(Settings) if each.name.endswith(("_port", "_relay"))
}


def is_there() -> bool:
    """Whether a system is running, as far as the environment leads to it."""
    return leads_elsewhere() or f"{PREFIX}GATEWAY_URL" in os.environ or stack.running(target().state_dir) is not None


@contextmanager
def system() -> Iterator[Settings]:
    """The system that is there, or one of our own for as long as this lasts. Raises ConveyorError."""
    if is_there():
        yield target()
        return
    say("No system is running here: starting one for the measurement.", err=True)
    with started() as settings:
        yield settings


@contextmanager
def started(code: Path | None = None, variables: Mapping[str, str] | None = None) -> Iterator[Settings]:
    """A stack with its data in a temporary directory; stopped and forgotten afterwards. Raises ConveyorError.

    ``code``: the folder whose ``conveyor run`` it is, by default the code that runs here. ``variables``: settings of
    its own, beside those of the environment; that code must know them, and may not know all of the environment's.
    """
    unknown = [name for name in variables or {} if code is not None and not _knows(code, name)]
    if unknown:
        raise ConveyorError(f"the code to measure has no setting {unknown[0]}")
    given = read({**os.environ, **(variables or {})})
    provide_rabbitmq(given, Path(given.state_dir).absolute(), lambda text: say(text, err=True))
    with tempfile.TemporaryDirectory(prefix="conveyor-measured-") as folder:
        state = Path(folder) / "state"
        environment = inherited() | own_stack(state) | dict(variables or {})
        if code is not None:
            environment = {name: value for name, value in environment.items() if _knows(code, name)}
            environment["PYTHONPATH"] = str(code)
        log = Path(folder) / "run.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "conveyor", "run", "--no-first-order"],
                env=environment,
                cwd=code,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
        try:
            _await_ready(process, state, log)
            yield read(stack.environment(state))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def own_stack(state: Path) -> dict[str, str]:
    """The variables of a stack that stands in nobody's way: every port is one that was free just now.

    What the environment says about how its processes work stays.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    ports = free_ports()
    for name in PLACES:
        variable = PREFIX + name.upper()
        if name.endswith("_port"):
            variables[variable] = str(next(ports))
        elif name.endswith("_relay"):
            variables[variable] = f"127.0.0.1:{next(ports)}"
        else:
            variables.pop(variable, None)
    # What is measured writes its logs as production does.
    return {f"{PREFIX}LOG_FORMAT": "json"} | variables | {f"{PREFIX}STATE_DIR": str(state)}


def _knows(code: Path, variable: str) -> bool:
    """Whether code that may be older has this setting: it takes none that it does not know."""
    name = variable.removeprefix(PREFIX).lower()
    return not variable.startswith(PREFIX) or f" {name}: " in (code / "chassis" / "settings.py").read_text()


def _await_ready(process: subprocess.Popen[bytes], state: Path, log: Path) -> None:
    deadline = time.monotonic() + START_PATIENCE
    while not ((running := stack.running(state)) and running.ready):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConveyorError(f"the stack for the measurement did not get ready:\n{tail(log)}")
        time.sleep(0.1)
