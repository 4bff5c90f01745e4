"""``conveyor stock``."""

from collections.abc import Sequence

import click

from conveyor.client import JSON
from conveyor.ranges import WholeRange
from conveyor.shop import shown
from conveyor.shop.naming import Item, find_product, lines
from conveyor.shop.options import AsJson, Key, Limit, gateway, listed, none_of, once
from conveyor.shop.product import Sku
from conveyor.terminal import say, say_json
from conveyor.words import Words

#: The exit code of a question that was answered with no.
NOT_AVAILABLE = 3
_Units = WholeRange(min=1)


@click.group()
def stock() -> None:
    """See how many units there are, why, and book what was counted, received or written off.

    \b
      conveyor stock list --below 50
      conveyor stock adjust MUG-STONE --add 200 --reason "delivery from the pottery"
      conveyor stock ledger MUG-STONE
    """


@stock.command("list", short_help="List the units in stock, the fewest first.")
@click.option("--below", metavar="N", type=WholeRange(min=1), help="Only products with fewer units than this.")
@Limit
@AsJson
def list_(below: int | None, limit: int, as_json: bool) -> None:
    """List the units in stock of each active product, the fewest first.

    \b
      conveyor stock list
      conveyor stock list --below 50 --limit 1000
    """
    active = gateway().every("/products", limit=100, status="active")
    found = sorted(
        (each for each in active if below is None or each["stock_quantity"] < below),
        key=lambda each: (each["stock_quantity"], each["sku"]),
    )[:limit]
    if as_json:
        say_json([{name: each[name] for name in ("id", "sku", "name", "stock_quantity")} for each in found])
    elif found:
        say(*shown.stocks(found))
    else:
        say(none_of("active products", below))


@stock.command(short_help="Show why a product's stock is what it is.")
@Sku
@Limit
@AsJson
def ledger(named: str, limit: int, as_json: bool) -> None:
    """Show why a product's stock is what it is: every entry of its ledger, newest first.

    \b
      conveyor stock ledger MUG-STONE
      conveyor stock ledger MUG-STONE --limit 1000 --json

    `reserve` was taken for an order, `release` given back by one, `adjust` booked by a person. The sum of all entries
    is the stock.
    """
    at = gateway()
    found = find_product(at, named)
    entries = listed(at, f"/products/{found['id']}/movements", limit)
    if as_json:
        say_json(entries)
        return
    say(f"{found['sku']}  {found['name']}: {found['stock_quantity']:,} in stock")
    say(*(shown.movements(entries) if entries else ["Nothing has moved yet."]))


@stock.command()
@Sku
@click.option("--add", metavar="N", type=_Units, help="Units that came in.")
@click.option("--remove", metavar="N", type=_Units, help="Units that are gone.")
@click.option("--counted", metavar="N", type=WholeRange(min=0), help="Units that there are; the difference is booked.")
@click.option("--reason", type=Words(), required=True, help="Why, for the ledger.")
@Key
@AsJson
def adjust(
    named: str, add: int | None, remove: int | None, counted: int | None, reason: str, key: str | None, as_json: bool
) -> None:
    """Book units of a product that came in, are gone, or were counted.

    \b
      conveyor stock adjust MUG-STONE --add 200 --reason "delivery from the pottery"
      conveyor stock adjust MUG-STONE --remove 3 --reason "three broken in the warehouse"
      conveyor stock adjust MUG-STONE --counted 412 --reason "stock-taking"

    --counted compares with the stock at this moment: count what nobody is just selling. Units that are held for orders
    are out of the stock already.
    """
    if sum(each is not None for each in (add, remove, counted)) != 1:
        raise click.UsageError("Say one of --add, --remove and --counted.")
    at = gateway()
    found = find_product(at, named)
    units = (add or 0) - (remove or 0) if counted is None else counted - found["stock_quantity"]
    if not units:
        say(f"{found['sku']}: {found['stock_quantity']:,} in stock already; nothing was booked", err=as_json)
        return
    body: JSON = {"quantity": units, "reason": reason}
    answer = at.post(f"/products/{found['id']}/stock", body, key=once(key))
    if as_json:
        say_json(answer.body)
        return
    say(f"{found['sku']}: {answer.body['movement']['quantity']:+,}, {answer.body['stock_quantity']:,} in stock")
    if answer.replayed:
        say("It was booked before, under this key.")


@stock.command(short_help="Ask whether so many units could be ordered now.")
@click.argument("items", nargs=-1, required=True, type=Item())
@AsJson
@click.pass_context
def check(context: click.Context, items: Sequence[tuple[str, int]], as_json: bool) -> None:
    """Ask whether so many units could be ordered now, and at what price. Nothing is kept aside.

    \b
      conveyor stock check MUG-STONE=2 LAMP-ARC=70

    Exit code: 0 all could, 3 something could not.
    """
    at = gateway()
    answer = at.post("/check-availability", {"items": lines(at, items, {})}).body
    if as_json:
        say_json(answer)
    else:
        for (named, quantity), line in zip(items, answer["items"], strict=True):
            say(f"{quantity} x {named}: {_said(line)}")
    context.exit(0 if answer["available"] else NOT_AVAILABLE)


def _said(line: JSON) -> str:
    if line["available"]:
        return f"yes, {line['price']} each, {line['stock_quantity']:,} in stock"
    return f"no ({line['reason']}): {line['detail']}"
