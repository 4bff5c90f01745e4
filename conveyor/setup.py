"""``conveyor migrate`` and ``conveyor topology``: what has to be there before anything else starts."""

import click

from chassis.errors import ConveyorError
from conveyor import SERVICES
from conveyor.access import check_access
from conveyor.destroying import Yes, require_consent
from conveyor.target import join
from conveyor.terminal import say

#: Addresses with several customers, and SKUs that look like others, that are listed after a migration.
MOST_TOLD = 20


@click.command()
@click.argument("services", type=click.Choice(SERVICES), nargs=-1)
@click.option("--to", default="head", show_default=True, help="A revision, -1 for one step back, or base.")
@Yes
def migrate(services: tuple[str, ...], to: str, yes: bool) -> None:
    """Bring the databases of SERVICES (all of them where none is named) to the newest schema.

    \b
      conveyor migrate                        before anything else starts, and at each upgrade
      conveyor migrate sales --to 0001        back to a revision: what stands in the tables that go is lost
      conveyor migrate sales --to base        back to nothing: ALL DATA OF SALES IS LOST

    On the way back it asks first, unless --yes is said, and goes only while no process of Conveyor is connected.
    """
    # Here, because Alembic takes long to import, and `conveyor topology` does without.
    from chassis import migrations

    chosen = services or SERVICES
    settings = join(*(f"{service}_database_url" for service in chosen))
    for service in chosen:
        check_access(settings, database=service, tables=False)
    back = [service for service in chosen if migrations.goes_back(service, to)]
    if back:
        names = ", ".join(back)
        busy = [said for service in back if (said := migrations.connected(service))]
        if busy:
            raise ConveyorError(f"{'; '.join(busy)}: stop them first; nothing was done")
        lost = (
            f"All data of {names} is lost" if to == "base" else f"What stands in the tables of {names} that go is lost"
        )
        require_consent(f"{lost} on the way back to {to}", " ".join(back), yes)
    for service in chosen:
        migrations.migrate(service, to)
        say(f"{service}: migrated to {to}")
        if (service, to) == ("sales", "head"):
            _tell_of_doubles()
        if (service, to) == ("inventory", "head"):
            _tell_of_lookalikes()


def _tell_of_doubles() -> None:
    """Customers from before an address had one owner. Their ids only: what a command prints ends in logs."""
    from conveyor.shop.doubles import told

    _tell(
        told(),
        "sales: {} e-mail addresses have several customers; each belongs to the oldest of them.",
        "conveyor customer doubles",
    )


def _tell_of_lookalikes() -> None:
    """Products from before a SKU that looks like another's was refused."""
    from conveyor.shop.lookalikes import told

    _tell(told(), "inventory: {} SKUs look like another product's; each stays as it is.", "conveyor product lookalikes")


def _tell(lines: list[str], what: str, all_by: str) -> None:
    """How many rows an older release has left that this one would refuse, the first of them, and where all are."""
    if lines:
        say(what.format(len(lines)), *lines[:MOST_TOLD])
    if len(lines) > MOST_TOLD:
        say(f"... and {len(lines) - MOST_TOLD} more: {all_by}")


@click.command()
def topology() -> None:
    """Declare exchanges, queues and dead-letter queues. Safe to repeat; needed once before workers start.

    \b
      conveyor topology

    A queue that an older release made with other arguments is moved, with all messages in it, as soon as no worker of
    that release consumes it.
    """
    broker_url = join("broker_url").require("broker_url")
    from conveyor.broker import reached
    from tasks.moving import move_queues
    from tasks.topology import declare

    with reached(broker_url) as connection:
        told, left = move_queues(connection)
        declared = declare(connection, left)
    if told:
        say(*told)
    say(f"declared {len(declared)} queues: {', '.join(declared)}")
