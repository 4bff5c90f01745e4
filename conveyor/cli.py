"""The command line: one group, and each command in the module that does its work.

A command is imported when it is run: ``conveyor topology`` does not wait for what only ``conveyor serve`` needs.
"""

import importlib
import sys
from io import StringIO
from typing import Any, NoReturn

import click

from chassis.errors import ConveyorError
from conveyor.terminal import say, say_paragraph

#: Which module has which command. The command is the function of its own name there.
COMMANDS = {
    "run": "conveyor.run",
    "reset": "conveyor.run",
    "serve": "conveyor.serve",
    "worker": "conveyor.worker",
    "relay": "conveyor.processes",
    "sweeper": "conveyor.processes",
    "quarantine": "conveyor.quarantine",
    "migrate": "conveyor.setup",
    "topology": "conveyor.setup",
    "catalogue": "conveyor.catalogue_command",
    "replay": "conveyor.replay.command",
    "order": "conveyor.order.command",
    "status": "conveyor.status",
    "logs": "conveyor.logs",
    "latency": "conveyor.latency",
    "bench": "conveyor.bench.command",
    "reconcile": "conveyor.reconcile.command",
    "chaos": "conveyor.chaos.command",
    "orphan": "conveyor.reconcile.orphan_command",
}


class Lazily(click.Group):
    """A group whose commands are imported on use."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.ClickException as error:
            raise _told(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise _told(error) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return found


@click.group(cls=Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conveyor")
def cli() -> None:
    """Conveyor, an order pipeline that shops can trust with their money.

    \b
    Start everything on this machine:  conveyor run
    Place an order and watch it:       conveyor order place --help
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. What went wrong in a way that we foresaw is one line and exit code 1."""
    try:
        cli.main(args=arguments, prog_name="conveyor")
    except ConveyorError as error:
        _end(str(error))
    except Exception as error:
        # Only now: SQLAlchemy takes 20 MiB, which granian's masters would hold for nothing.
        from chassis.database import Fault, fault_of

        if fault_of(error) is Fault.OTHER:
            raise
        _end(f"the database cannot serve: {str(getattr(error, 'orig', error)).strip().splitlines()[0]}")


def _told(error: click.ClickException) -> click.exceptions.Exit:
    """A wrong command line: what click says about it is said here, since it quotes what was typed as it is."""
    text = StringIO()
    error.show(text)
    say(*text.getvalue().rstrip("\n").split("\n"), err=True)
    return click.exceptions.Exit(error.exit_code)


def _end(message: str) -> NoReturn:
    say_paragraph(f"conveyor: {message}", err=True)
    sys.exit(1)
