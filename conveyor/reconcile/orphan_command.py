"""``conveyor orphan``."""

from uuid import UUID

import click

from conveyor.destroying import Yes, require_consent
from conveyor.target import target
from conveyor.terminal import say
from conveyor.words import Actor, Words

OrderId = click.argument("order_id", metavar="ID", type=click.UUID)
Reason = click.option("--reason", type=Words(), required=True, help="What was decided, and why, for the record.")


@click.group(short_help="Decide about orders that a restored sales database does not know.")
def orphan() -> None:
    """Decide about an order that sales does not know, because its database was restored from an older backup.

    `conveyor reconcile` lists them as orphan_reservation, orphan_ledger and orphan_delivery. Who ordered, and at what
    price, was nowhere else; so a person decides, and it is on record in the table `repairs`. What was decided about is
    not listed any more.

    \b
      conveyor reconcile
      conveyor orphan keep ID --reason "the customer has paid, says the bank"
    """


@orphan.command(short_help="Let an order's parcel go out.")
@OrderId
@Reason
@Actor
def keep(order_id: UUID, reason: str, actor: str) -> None:
    """Let the parcel of order ID go out (or it has arrived), and its stock be gone.

    \b
      conveyor orphan keep 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10 --reason "paid, says the bank"
    """
    from conveyor.reconcile import orphan

    done = orphan.keep(target(), order_id, actor, reason)
    say(f"{order_id}: {'kept' if done else 'was kept before'}; its parcel goes on, its stock is gone")


@orphan.command(short_help="Stop an order's parcel, and give its stock back.")
@OrderId
@Reason
@Actor
@Yes
def give_up(order_id: UUID, reason: str, actor: str, yes: bool) -> None:
    """Stop the parcel of order ID, and give its stock back; asks first, unless --yes is said.

    Refused once the parcel has left.

    \b
      conveyor orphan give-up 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10 --reason "nobody has paid"
      conveyor orphan give-up 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10 --reason "nobody has paid" --yes
    """
    from conveyor.reconcile import orphan

    require_consent(f"The parcel of {order_id} is stopped for good, and its stock goes back", "give-up", yes)
    done = orphan.give_up(target(), order_id, actor, reason)
    say(f"{order_id}: {'given up' if done else 'was given up before'}; its stock is back")
