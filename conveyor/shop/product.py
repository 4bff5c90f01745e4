"""``conveyor product``."""

import click

from conveyor.client import JSON
from conveyor.ranges import WholeRange
from conveyor.shop import shown
from conveyor.shop.lookalikes import lookalikes
from conveyor.shop.naming import Amount, find_product
from conveyor.shop.options import AsJson, Key, Limit, gateway, listed, none_of, once, telling_what_is_allowed
from conveyor.terminal import say, say_json
from conveyor.words import Words

STATUSES = ("active", "inactive", "discontinued")
SORTS = ("created_at", "sku", "name", "price")

Sku = click.argument("named", type=Words(), metavar="SKU|ID")


@click.group()
def product() -> None:
    """See and change what the shop sells, and at what price.

    \b
      conveyor product list --search lamp
      conveyor product add MUG-BLUE --name "Blue mug" --price 9.80 --stock 40
      conveyor product change MUG-BLUE --price 10.50

    A SKU may be typed in either case. `conveyor catalogue load FILE` adds many products at once, and
    `conveyor stock adjust` changes how many units there are.
    """


product.add_command(lookalikes)


@product.command("list")
@click.option("--search", type=Words(), metavar="TEXT", help="Only those whose name or SKU contains this.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those that are this.")
@click.option("--sort", type=click.Choice(SORTS), help="In which order.  [default: newest first]")
@Limit
@AsJson
def list_(search: str | None, status: str | None, sort: str | None, limit: int, as_json: bool) -> None:
    """List products: SKU, name, price, units in stock, status.

    \b
      conveyor product list
      conveyor product list --search lamp --sort price
      conveyor product list --limit 1000 --json | jq -r '.[].sku'
    """
    found = listed(gateway(), "/products", limit, q=search, status=status, sort=sort)
    if as_json:
        say_json(found)
    elif found:
        say(*shown.products(found))
    else:
        say(none_of("products", search, status))


@product.command()
@Sku
@AsJson
def show(named: str, as_json: bool) -> None:
    """Show a product: price, stock, status, text.

    \b
      conveyor product show MUG-STONE
    """
    _show(find_product(gateway(), named), as_json)


@product.command()
@click.argument("sku", type=Words())
@click.option("--name", type=Words(), required=True, help="What customers read.")
@click.option("--price", type=Amount(), required=True, help="Of one unit.")
@click.option("--description", help="A text for customers.")
@click.option(
    "--stock", metavar="N", type=WholeRange(min=0), default=0, show_default=True, help="Units that there are now."
)
@click.option(
    "--status", type=click.Choice(STATUSES[:2]), default=STATUSES[0], show_default=True, help="inactive: not sold yet."
)
@click.option(
    "--allow-lookalikes", is_flag=True, help="Take a SKU that differs from another's only in case, width or alphabet."
)
@Key
@AsJson
def add(
    sku: str,
    name: str,
    price: str,
    description: str | None,
    stock: int,
    status: str,
    allow_lookalikes: bool,
    key: str | None,
    as_json: bool,
) -> None:
    """Add a product to the catalogue.

    \b
      conveyor product add MUG-BLUE --name "Blue mug" --price 9.80 --stock 40
    """
    body: JSON = {"sku": sku, "name": name, "price": price, "stock_quantity": stock, "status": status}
    if description is not None:
        body["description"] = description
    if allow_lookalikes:
        body["allow_lookalikes"] = True
    _show(gateway().post("/products", body, key=once(key)).body, as_json)


@product.command()
@Sku
@click.option("--price", type=Amount(), help="Of one unit, for orders that are not priced yet.")
@click.option("--name", type=Words(), help="What customers read.")
@click.option("--description", help="A text for customers.")
@click.option("--status", type=click.Choice(STATUSES), help="inactive pauses the sale, discontinued ends it for good.")
@click.option("--yes", is_flag=True, help="Do not ask before a product is discontinued.")
@AsJson
def change(
    named: str,
    price: str | None,
    name: str | None,
    description: str | None,
    status: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Change a product's price, name, text or status.

    \b
      conveyor product change MUG-STONE --price 10.50
      conveyor product change MUG-STONE --status inactive

    Orders that were priced before keep their price, and stock that is held for them stays held. Nobody can bring back
    a product that was discontinued, so this is asked first, or said with --yes.
    """
    given = {"price": price, "name": name, "description": description, "status": status}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what is to change: --price, --name, --description or --status.")
    at = gateway()
    found = find_product(at, named)
    if status == STATUSES[-1] and found["status"] != status and not yes:
        click.confirm(f"Discontinue {found['sku']} for good?", abort=True, err=True)
    with telling_what_is_allowed():
        _show(at.patch(f"/products/{found['id']}", changes).body, as_json)


def _show(found: JSON, as_json: bool) -> None:
    if as_json:
        say_json(found)
    else:
        say(*shown.product(found))
