"""``conveyor orphan``."""

import getpass
from uuid import UUID

import click

from conveyor.target import target
from conveyor.terminal import say

OrderId = click.argument("order_id", metavar="ID", type=click.UUID)
Reason = click.option("--reason", required=True, help="What was decided, and why, for the record.")
Actor = click.option("--actor", default=getpass.getuser, help="Who says so, for the record.  [default: your user name]")


@click.group(short_help="Decide about orders that a restored sales database does not know.")
def orphan() -> None:
    """Decide about an order that sales does not know, because its database was restored from an older backup.

    `conveyor reconcile` lists them as orphan_reservation, orphan_ledger and orphan_delivery. Who ordered, and at what
    price, was nowhere else; so a person decides, and it is on record in the table `repairs`. What was decided about is
    not listed any more.
    """


@orphan.command()
@OrderId
@Reason
@Actor
def keep(order_id: UUID, reason: str, actor: str) -> None:
    """Let the parcel of order ID go out (or it has arrived), and its stock be gone."""
    from conveyor.reconcile import orphan

    orphan.keep(target(), order_id, actor, reason)
    say(f"{order_id}: kept; its parcel goes on, its stock is gone")


@orphan.command()
@OrderId
@Reason
@Actor
def give_up(order_id: UUID, reason: str, actor: str) -> None:
    """Stop the parcel of order ID, and give its stock back. Refused once the parcel has left."""
    from conveyor.reconcile import orphan

    orphan.give_up(target(), order_id, actor, reason)
    say(f"{order_id}: given up; its stock is back")
