"""``conveyor order``."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from conveyor.order import shown
from conveyor.order.compensate import compensate
from conveyor.order.follow import OPEN, follow
from conveyor.order.resume import resume
from conveyor.ranges import NumberRange, WholeRange
from conveyor.shop.naming import Item, Price, customer_id, folded, lines
from conveyor.shop.options import (
    AsJson,
    Listing,
    gateway,
    listed,
    none_of,
    telling_what_is_allowed,
)
from conveyor.terminal import say, say_json
from conveyor.words import Words
from sales.status import OrderStatus

#: The exit code of a command whose order ended, and not as it was asked for.
OTHERWISE = 3

OrderId = click.argument("order_id", metavar="ID", type=click.UUID)
Wait = click.option(
    "--wait",
    metavar="SECONDS",
    type=WholeRange(0, 30),
    default=0,
    show_default=True,
    help="Wait at most so long until the order has ended.",
)


@click.group()
def order() -> None:
    """Place orders and see what becomes of them, through the gateway.

    \b
      conveyor order place --customer ada@example.com --item MUG-STONE=2 --wait 10
      conveyor order watch ID
      conveyor order list --status Rejected

    The gateway is the one of CONVEYOR_GATEWAY_URL, else of the stack that `conveyor run` has running here.
    """


order.add_command(resume)
order.add_command(compensate)


@order.command()
@click.option("--customer", type=Words(), required=True, metavar="ID|EMAIL", help="Whose order it is.")
@click.option("--item", "items", required=True, multiple=True, type=Item(), help="A line; may be given many times.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    type=Price(),
    help="What the customer saw as the price of an --item; another price in the catalogue rejects the order.",
)
@click.option("--address", type=Words(), help="Where the parcel goes.  [default: the customer's address]")
@click.option(
    "--key", type=Words(), help="Idempotency key: the same order under the same key is placed once, however often sent."
)
@Wait
@AsJson
@click.pass_context
def place(
    context: click.Context,
    customer: str,
    items: Sequence[tuple[str, int]],
    prices: Sequence[tuple[str, str]],
    address: str | None,
    key: str | None,
    wait: int,
    as_json: bool,
) -> None:
    """Place an order.

    \b
      conveyor order place --customer ada@example.com --item MUG-STONE=2 --item LAMP-DESK=1
      conveyor order place --customer ada@example.com --item MUG-STONE=2 --wait 10
      conveyor order place --customer ada@example.com --item MUG-STONE=2 --price MUG-STONE=9.80
      conveyor order place --customer ada@example.com --item MUG-STONE=2 --key cart-4711

    Exit code: 0 the order was taken, 1 it was not, 2 a wrong command line, 3 it was taken, and rejected within --wait.
    """
    ordered = {folded(named) for named, _ in items}
    unknown = [named for named, _ in prices if folded(named) not in ordered]
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is not one of the --item", param_hint="--price")
    at = gateway(wait)
    body: dict[str, Any] = {"customer_id": customer_id(at, customer), "items": lines(at, items, dict(prices))}
    if address:
        body["delivery_address"] = address
    answer = at.post("/orders", body, key=key, headers=_prefer(wait))
    if as_json:
        say_json(answer.body)
    else:
        say(shown.headline(answer.body))
        if answer.replayed:
            say("It was placed before, under this key.")
        if answer.body["status"] in OPEN:
            say(f"It is under way: conveyor order watch {answer.body['id']}")
    context.exit(OTHERWISE if answer.body["status"] == OrderStatus.REJECTED else 0)


@order.command()
@OrderId
@AsJson
def show(order_id: UUID, as_json: bool) -> None:
    """Show an order: its lines, and what happened to it, when and why.

    \b
      conveyor order show 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10
    """
    at = gateway()
    found = at.get(f"/orders/{order_id}").body
    events = list(at.every(f"/orders/{order_id}/events"))
    if as_json:
        say_json({**found, "events": events})
        return
    say(*shown.in_full(found, events))


@order.command(short_help="Print an order's events as they come.")
@OrderId
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=NumberRange(min=0),
    default=300.0,
    show_default=True,
    help="Give up after so long.",
)
@click.option("--json", "as_json", is_flag=True, help="Each event as JSON, one a line.")
@click.pass_context
def watch(context: click.Context, order_id: UUID, timeout: float, as_json: bool) -> None:
    """Print an order's events as they come, until nothing is under way for it any more.

    \b
      conveyor order watch 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10
      conveyor order watch 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10 --timeout 10 || echo still open

    Times are UTC, by the clock of the database. Exit code: 0 it has ended, 1 not in time, 3 it was rejected.
    """
    at = gateway()
    began = None
    for event in follow(at, str(order_id), patience=timeout):
        began = began or event["at"]
        if as_json:
            say_json(event, indent=None)
        else:
            say(shown.happened(event, began))
    ended = at.get(f"/orders/{order_id}").body
    if not as_json:
        say(shown.headline(ended))
    context.exit(OTHERWISE if ended["status"] == OrderStatus.REJECTED else 0)


@order.command()
@OrderId
@click.option("--reason", type=Words(), help="Why, for the record.")
@Wait
@AsJson
@click.pass_context
def cancel(context: click.Context, order_id: UUID, reason: str | None, wait: int, as_json: bool) -> None:
    """Cancel an order; possible until its parcel has left.

    \b
      conveyor order cancel 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10 --reason "changed my mind" --wait 10

    Cancelling it again changes nothing. Exit code: 0 it is cancelled or about to be, 1 it cannot be, 3 the parcel had
    left meanwhile (seen with --wait only).
    """
    body = {"reason": reason} if reason else {}
    with telling_what_is_allowed():
        found = gateway(wait).post(f"/orders/{order_id}/cancel", body, headers=_prefer(wait)).body
    if as_json:
        say_json(found)
    else:
        say(shown.headline(found))
    context.exit(0 if found["status"] in (OrderStatus.CANCELLED, OrderStatus.CANCELLING) else OTHERWISE)


@order.command("list")
@click.option(
    "--status",
    type=click.Choice([each.value for each in OrderStatus], case_sensitive=False),
    help="Only those that are this.",
)
@click.option("--customer", type=Words(), metavar="ID|EMAIL", help="Only this customer's.")
@click.option("--attention/--no-attention", default=None, help="Only those that need somebody's attention, or do not.")
@Listing
def list_(
    status: str | None,
    customer: str | None,
    attention: bool | None,
    after: str | None,
    before: str | None,
    oldest_first: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List orders, newest first.

    \b
      conveyor order list --attention
      conveyor order list --status "Pending Shipment" --after 2026-11-22T00:00:00Z --limit 100
      conveyor order list --customer ada@example.com --json | jq -r '.[].id'
    """
    at = gateway()
    found = listed(
        at,
        "/orders",
        limit,
        status=status,
        customer_id=customer and customer_id(at, customer),
        needs_attention=None if attention is None else str(attention).lower(),
        created_after=after,
        created_before=before,
        sort="created_at" if oldest_first else None,
    )
    if as_json:
        say_json(found)
    elif found:
        say(*map(shown.row, found))
    else:
        say(none_of("orders", status, customer, attention, after, before))


def _prefer(wait: int) -> dict[str, str]:
    return {"Prefer": f"wait={wait}"} if wait else {}
