"""``conveyor order compensate``: somebody gives an order up, and all that was done for it is undone."""

from uuid import UUID

import click
from uuid_utils.compat import uuid7

from chassis.database import open_database
from conveyor.databases import asking
from conveyor.target import target
from conveyor.terminal import say
from conveyor.words import Actor, Words
from sales import service


@click.command(short_help="Give an order up, and undo all that was done for it.")
@click.argument("order_id", metavar="ID", type=click.UUID)
@click.option("--reason", type=Words(), required=True, help="Why it is given up, for the record.")
@Actor
def compensate(order_id: UUID, reason: str, actor: str) -> None:
    """Give up on order ID, whatever it hangs in: stop its parcel, give its stock back, cancel it.

    \b
      conveyor order list --attention
      conveyor order compensate ID --reason "told the customer by telephone"

    It is its cancel chain that does this; one that hangs is sent again. Refused once the parcel has left. Giving up
    again does no harm, and nothing to an order that is Cancelled.

    Works on the database of sales directly: CONVEYOR_SALES_DATABASE_URL, else that of the running stack.
    """
    with asking(open_database("sales", target())) as session:
        before = service.hold_order(session, order_id).version
        order = service.compensate(session, order_id, actor, reason, uuid7().hex)
    done = "given up; it is" if order["version"] > before else "nothing was done; it was"
    say(f"{order_id}: {done} {order['status']}")
