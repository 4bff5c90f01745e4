"""The command line: one group, and each command in the module that does its work.

A command is imported when it is run: ``conveyor topology`` does not wait for what only ``conveyor serve`` needs.
"""

import importlib
import os
import sys
from io import StringIO
from typing import Any, NoReturn

import click

from chassis import output
from chassis.errors import ConveyorError
from conveyor.terminal import say, say_paragraph

#: The commands in the groups in which the help lists them: name, module, and what it does. The command is the function
#: of its own name there.
GROUPS = {
    "The shop": [
        ("order", "conveyor.order.command", "place, show, watch, cancel and list orders"),
        ("product", "conveyor.shop.product", "what is sold, and at what price"),
        ("stock", "conveyor.shop.stock", "how many units there are, and why"),
        ("customer", "conveyor.shop.customer", "who buys"),
        ("delivery", "conveyor.shop.delivery", "where the parcels are"),
        ("catalogue", "conveyor.catalogue_command", "load many products from a CSV"),
    ],
    "The system on this machine": [
        ("run", "conveyor.run", "start everything, and serve until Ctrl-C"),
        ("status", "conveyor.status", "how everything is: processes, queues, orders"),
        ("logs", "conveyor.logs", "the logs of all processes in one stream"),
        ("reset", "conveyor.run", "forget all data of `conveyor run`"),
    ],
    "When something went wrong": [
        ("quarantine", "conveyor.quarantine", "the messages that nobody could work on"),
        ("reconcile", "conveyor.reconcile.command", "check that the databases agree, and repair them"),
        ("orphan", "conveyor.reconcile.orphan_command", "orders that a restored database does not know"),
    ],
    "Try it hard, and measure it": [
        ("replay", "conveyor.replay.command", "send an order book, and follow every order to its end"),
        ("chaos", "conveyor.chaos.command", "kill everything under load, and check the promises"),
        ("latency", "conveyor.latency", "how long one order takes"),
        ("bench", "conveyor.bench.command", "how many orders a second it takes"),
    ],
    "Single processes, for a deployment of your own": [
        ("migrate", "conveyor.setup", "bring the databases to the newest schema"),
        ("topology", "conveyor.setup", "declare the queues"),
        ("serve", "conveyor.serve", "a web process: the gateway or a service"),
        ("worker", "conveyor.worker", "a worker for the queues of a service"),
        ("relay", "conveyor.processes", "moves messages from a database to the broker"),
        ("sweeper", "conveyor.processes", "finds orders that stopped moving"),
        ("flower", "conveyor.processes", "workers, queues and tasks as a page"),
    ],
}
MODULES = {name: module for group in GROUPS.values() for name, module, _ in group}

#: Those that read a database and end; what serves has its own ways to notice one that says nothing.
WAITING = {"migrate", "order", "quarantine", "reconcile", "orphan"}


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
        except KeyboardInterrupt:
            say("conveyor: ended by Ctrl-C", err=True)  # click would say "Aborted!", and that all went wrong
            raise click.exceptions.Exit(130) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        found: click.Command = getattr(importlib.import_module(MODULES[cmd_name]), cmd_name.replace("-", "_"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, MODULES))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", about) for name, _, about in group])


@click.group(cls=Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conveyor")
def cli() -> None:
    """Conveyor, an order pipeline that shops can trust with their money.

    \b
      conveyor run                          start everything on this machine
      conveyor product list                 see what there is to order
      conveyor order place --customer ada@example.com --item MUG-STONE=2
      conveyor COMMAND --help               what a command does, with examples
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Whatever goes wrong is one line and an exit code that is not 0.

    That of Ctrl-C is 130, of a wrong command line 2, and 1 otherwise, where a command does not say something else.
    A command whose output nobody takes any more goes on to its end all the same: it may be changing something.
    """
    output.never_raise()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _run(words)
    except SystemExit as ending:
        lost = output.lost_output()
        if not ending.code and lost and not output.reader_gone() and words[:1] != ["run"]:
            _end(f"not all that it had to say could be written: {lost.strerror}")
        raise


def _run(words: list[str]) -> None:
    try:
        if words and words[0] in WAITING and words[:2] != ["quarantine", "run"]:
            importlib.import_module("conveyor.silence").heed_silence()
        cli.main(args=words, prog_name="conveyor")
    except ConveyorError as error:
        _end(str(error))
    except KeyboardInterrupt:
        _end("ended by Ctrl-C", 130)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else _unforeseen(error))
    except Exception as error:
        _end(_meaning(error))


def _meaning(error: Exception) -> str:
    """What an error says that no command has foreseen."""
    # Only now: SQLAlchemy takes 20 MiB, which the masters of web processes would hold for nothing.
    from chassis.database import Fault, fault_of

    cause = getattr(error, "orig", None)
    if cause is None:
        return _unforeseen(error)
    said = "cannot serve" if fault_of(error) is not Fault.OTHER else "refuses"
    hint = "; is it migrated? `conveyor migrate`" if getattr(cause, "pgcode", None) == "42P01" else ""
    return f"the database {said}: {_first_line(cause)}{hint}"


def _unforeseen(error: Exception) -> str:
    """Where it is a mistake of ours, whoever looks for it wants the whole trace: the log of a process has it."""
    from chassis import logs

    if logs.are_configured() or os.environ.get("CONVEYOR_LOG_LEVEL") == "DEBUG":
        raise error
    return f"{type(error).__name__}: {_first_line(error)} (CONVEYOR_LOG_LEVEL=DEBUG shows where)"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason is given")


def _told(error: click.ClickException) -> click.exceptions.Exit:
    """A wrong command line: what click says about it is said here, since it quotes what was typed as it is."""
    text = StringIO()
    error.show(text)
    say(*text.getvalue().rstrip("\n").split("\n"), err=True)
    return click.exceptions.Exit(error.exit_code)


def _end(message: str, code: int = 1) -> NoReturn:
    import structlog

    from chassis import logs

    if logs.are_configured():  # a process, of which whoever reads its logs has to hear
        structlog.get_logger().critical("ended", reason=message)
    else:
        say_paragraph(f"conveyor: {message}", err=True)
    sys.exit(code)
