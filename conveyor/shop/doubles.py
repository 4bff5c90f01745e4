"""``conveyor customer doubles``: customers that were registered when an address could still have several."""

import click

from chassis.database import open_database
from conveyor.databases import asking
from conveyor.target import target
from conveyor.terminal import say
from sales import queries


@click.command(short_help="List customers that share an e-mail address.")
def doubles() -> None:
    """List the customers that have the e-mail address of another one; a line for each such address, ids only.

    A new customer with an address that another has is refused. Those who were registered before that was so are kept:
    the address belongs to the oldest, which alone is found by it, and the others are named by their ids.

    \b
      conveyor customer doubles

    Works on the database of sales directly: CONVEYOR_SALES_DATABASE_URL, else that of the running stack.
    """
    say(*told() or ["No e-mail address has several customers."])


def told() -> list[str]:
    """A line for each address that several customers have."""
    with asking(open_database("sales", target())) as session:
        found = queries.doubles(session)
    return [f"{first} has the address; the same is with {', '.join(map(str, others))}" for first, *others in found]
