"""``conveyor order resume``: somebody has looked at an order that needed attention, and it may go on."""

from uuid import UUID

import click

from chassis.database import open_database
from conveyor.databases import asking
from conveyor.target import target
from conveyor.terminal import say
from conveyor.words import Actor, Words
from sales import quarantined, service


@click.command(short_help="Let an order that needed attention go on.")
@click.argument("order_id", metavar="ID", type=click.UUID)
@click.option("--reason", type=Words(), help="Why it may go on, for the record.")
@Actor
def resume(order_id: UUID, reason: str | None, actor: str) -> None:
    """Clear the flag of order ID, and send its chain again if it has not ended.

    Refused where neither is to be done: it has ended, and needs no attention.

    \b
      conveyor order list --attention
      conveyor order resume ID --reason "address corrected"

    Works on the database of sales directly: CONVEYOR_SALES_DATABASE_URL, else that of the running stack.
    """
    with asking(open_database("sales", target())) as session:
        order = service.resume(session, order_id, actor, reason)
        waits = quarantined.waiting_about(session, order_id)
    say(f"{order_id}: resumed; it is {order['status']}")
    if waits is not None:
        say(f"A message about it still waits: conveyor quarantine show {waits.message_id}")
