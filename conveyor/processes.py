"""``conveyor relay`` and its kind: the processes beside the workers."""

import click

from chassis.logs import configure_logs
from conveyor import SERVICES
from conveyor.access import check_access
from conveyor.target import join


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
def relay(service: str) -> None:
    """Move SERVICE's outbox rows to the broker until told to stop (SIGTERM).

    \b
      conveyor relay sales
    """
    settings = join(f"{service}_database_url", "broker_url")
    from tasks.relay import run_relay

    configure_logs(settings, f"relay-{service}")
    check_access(settings, database=service, broker=True)
    run_relay(service, settings)


@click.command()
def sweeper() -> None:
    """Move on the orders that stopped moving, until told to stop (SIGTERM).

    \b
      conveyor sweeper
    """
    settings = join("sales_database_url")
    from tasks.sweeper import run_sweeper

    configure_logs(settings, "sweeper")
    check_access(settings, database="sales")
    run_sweeper(settings)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def flower(options: tuple[str, ...]) -> None:
    """Show workers, queues and tasks as a page, until told to stop (SIGTERM). OPTIONS are Flower's own.

    \b
      conveyor flower --port=5555
    """
    settings = join("broker_url")
    from tasks.app import app

    configure_logs(settings, "flower")
    check_access(settings, broker=True)
    # It would set up logs of its own.
    app.start(["flower", "--logging=none", *options])
