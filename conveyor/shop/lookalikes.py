"""``conveyor product lookalikes``: products whose SKUs people take for one another."""

import click

from chassis.database import open_database
from chassis.printable import printable
from conveyor.databases import asking
from conveyor.target import target
from conveyor.terminal import say
from inventory import queries


@click.command(short_help="List products whose SKUs look the same.")
def lookalikes() -> None:
    """List the products whose SKUs differ only in case, width or alphabet, or in what cannot be seen; a line for each.

    A new product whose SKU looks like another's is refused. Those that were made before that was so, or were allowed,
    stay as they are: each is sold, and found by its own SKU or its id.

    \b
      conveyor product lookalikes

    Works on the database of inventory directly: CONVEYOR_INVENTORY_DATABASE_URL, else that of the running stack.
    """
    say(*told() or ["No two SKUs look the same."])


def told() -> list[str]:
    """A line for each look that several SKUs have."""
    with asking(open_database("inventory", target())) as session:
        found = queries.lookalikes(session)
    return [", ".join(f"{printable(each['sku'])} ({each['id']})" for each in group) for group in found]
