"""``conveyor run``: the whole of Conveyor on this machine, until Ctrl-C. ``conveyor reset`` forgets its data."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from chassis.errors import ConveyorError
from chassis.settings import PREFIX, Settings, settings
from conveyor import stack, terminal
from conveyor.children import CATALOGUE, Children, variables
from conveyor.destroying import Yes, require_consent
from conveyor.embedded.processes import EmbeddedError, end_left_behind
from conveyor.embedded.rabbitmq_tree import FETCHED
from conveyor.embedded.supervisor import StopRequested, Supervisor
from conveyor.embedded.unit import Unit
from conveyor.first_order import first_order
from conveyor.ports import require_all
from conveyor.servers import Servers, provide_rabbitmq
from conveyor.stack import Stack, only_one

FREE_BYTES = 300_000_000  # a first start takes a third of it


@click.command()
@click.option("--first-order/--no-first-order", "demo", default=True, help="Place one order when all is ready.")
def run(demo: bool) -> None:
    """Start everything on this machine and serve until Ctrl-C.

    \b
      conveyor run
      CONVEYOR_WORKERS=2 conveyor run --no-first-order

    PostgreSQL, Valkey and RabbitMQ included, where no URL in the environment names others. All data and logs are kept
    in .conveyor (CONVEYOR_STATE_DIR). Where RabbitMQ is not installed, the first start fetches the distribution's own
    packages into that folder, as any user, and installs nothing.
    """
    chosen = settings()
    if f"{PREFIX}LOG_FORMAT" not in os.environ:
        chosen = replace(chosen, log_format="console")  # people read these, with `conveyor logs`
    supervise(chosen, demo)


@click.command()
@Yes
def reset(yes: bool) -> None:
    """Delete all data of the stack that `conveyor run` has kept in this folder (CONVEYOR_STATE_DIR).

    \b
      conveyor reset
      conveyor reset --yes

    RabbitMQ's programs, where `conveyor run` has fetched them, are no data and stay.
    Asks first, unless --yes is said. Refused while any of its processes runs, also one that a killed supervisor has
    left behind: `conveyor run` takes those over, and Ctrl-C there ends them.
    """
    state = Path(settings().state_dir)
    if not state.exists():
        terminal.say(f"{state.absolute()} does not exist: there is nothing to forget")
        return
    stack.require_stopped(state)
    require_consent(f"All orders, stock and logs in {state.absolute()} are lost", state.absolute().name, yes)
    stack.forget(state)
    kept = state / FETCHED
    terminal.say(f"{state} is forgotten" + (f", all but the programs in {kept}" if kept.exists() else ""))


def supervise(chosen: Settings, demo: bool = True) -> None:
    """Run the stack that these settings describe, until SIGINT, SIGTERM or SIGHUP.

    Raises EmbeddedError or SettingsError, in one line for people, where it cannot get ready; nothing is left running.
    """
    state = Path(chosen.state_dir).absolute()
    try:
        os.umask(0o077)
        with only_one(state):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # it is, under nohup
                    signal.signal(number, _stop_at_once)
            missing = provide_rabbitmq(chosen, state, say, terminal.say_in_place)
            _Run(chosen, state).serve(demo, missing)
    except StopRequested:
        say("\nStopped.")
    except OSError as error:
        raise EmbeddedError(f"{error.filename or state}: {error.strerror}") from error


class _Run:
    """One run of one stack."""

    def __init__(self, chosen: Settings, state: Path) -> None:
        self._chosen = chosen
        self._state = state
        self._ready = False
        self._servers = Servers.chosen(chosen, state)
        self._settings = self._servers.lead_to(chosen)
        names = {each.name for each in self._servers.all()}
        children = Children(self._settings, state, names, self._servers.management_url())
        units: list[Unit] = [*self._servers.all(), *children.all()]
        trouble = partial(stack.trouble, state)
        self._supervisor = Supervisor(units, say, self._save, terminal.say_in_place, trouble)

    def serve(self, demo: bool, missing: str) -> None:
        """``missing``: why there is no RabbitMQ, where there is none."""
        began = time.monotonic()
        say(self._servers.about_the_broker(self._settings, missing))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is _stop_at_once:
                signal.signal(number, self._stop)
        self._make_room()
        try:
            self._supervisor.start()
            self._ready = True
            self._save()
            say(f"Ready after {time.monotonic() - began:.1f} s.\n")
            order = _demonstrate(self._settings, self._supervisor) if demo else None
            say(_next_steps(self._settings, self._state, order))
            self._supervisor.watch()
            say("\nStopping ...")
            self._supervisor.shut_down()
        except StopRequested:
            say("\nStopping ...")
        finally:
            (self._state / "stack.json").unlink(missing_ok=True)
        say("Stopped. `make run` starts it again with the same data.")

    def _make_room(self) -> None:
        """See that disk and ports are free, after ending what a killed supervisor left behind."""
        if not CATALOGUE.exists():
            raise EmbeddedError(f"{CATALOGUE} is missing: the installation is incomplete")
        free = shutil.disk_usage(self._state).free
        if free < FREE_BYTES:
            raise EmbeddedError(f"the disk of {self._state} has {free >> 20} MiB left; {FREE_BYTES >> 20} are needed")
        ended = end_left_behind(self._state, keep=self._servers.records())
        if ended:
            say(f"Ended what an earlier run left behind: {', '.join(ended)}")
        if moved := self._servers.set_old_data_aside():
            say(moved)
        require_all(self._settings, {port for each in self._servers.all() for port in each.ports()})

    def _save(self) -> None:
        running = {unit.name: unit.pid() for unit in self._supervisor.units if not unit.finishes}
        pids = {name: pid for name, pid in running.items() if pid is not None}
        Stack(os.getpid(), self._ready, variables(self._settings), pids).save(self._state)

    def _stop(self, _number: int, _frame: Any) -> None:
        self._supervisor.stop()


def _stop_at_once(_number: int, _frame: Any) -> None:
    """While there is nothing yet that would have to be stopped in order."""
    raise StopRequested


def say(text: str) -> None:
    """Tell people. It takes more than a terminal that is gone to keep the supervisor from what it started."""
    terminal.say(*text.split("\n"))


def _demonstrate(running: Settings, supervisor: Supervisor) -> dict[str, Any] | None:
    try:
        order = first_order(running, say, lambda: supervisor.stopping)
    except ConveyorError as error:  # the stack is ready all the same: whoever looks for the reason needs it running
        say(f"The first order did not work out: {error}\n")
        return None
    if order is None:
        return None
    say(f"It is now {order['status']}, total {order['total_amount']} {order['currency']}.\n")
    return order


def _next_steps(running: Settings, state: Path, order: dict[str, Any] | None) -> str:
    gateway = running.gateway_url
    lines = ["What to try next, in a second terminal:", "  source .venv/bin/activate", "  conveyor product list"]
    if order is not None:
        customer, product = order["customer_id"], order["items"][0]["product_id"]
        body = json.dumps({"customer_id": customer, "items": [{"product_id": product, "quantity": 2}]})
        lines += [
            f"  conveyor order show {order['id']}",
            f"  conveyor order place --customer {customer} --item {product}=2 --wait 5",
            f"  curl -s {gateway}/orders -H 'Content-Type: application/json' -H 'Prefer: wait=5' -d '{body}'",
            f"  conveyor order cancel {order['id']}",
        ]
    lines += [
        f"Every request, to try out: {gateway}/docs",
        f"Flower, the tasks as they run: http://127.0.0.1:{running.flower_port}",
        f"Logs: {state / 'logs'}",
        _who_can_reach_it(running),
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _who_can_reach_it(running: Settings) -> str:
    if running.host in ("127.0.0.1", "::1", "localhost"):
        return "Nothing asks who you are: no login, no key. Everything listens on loopback only."
    return (
        f"Nothing asks who you are: no login, no key, and the web processes and Flower listen on {running.host}: "
        "whoever reaches this machine can place orders. The servers listen on loopback only."
    )
