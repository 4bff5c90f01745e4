"""``conveyor customer``."""

import click

from conveyor.client import JSON
from conveyor.shop import shown
from conveyor.shop.doubles import doubles
from conveyor.shop.naming import customer_id
from conveyor.shop.options import AsJson, Key, Limit, gateway, listed, once
from conveyor.terminal import say, say_json
from conveyor.words import Words


@click.group()
def customer() -> None:
    """See and register the customers of the shop.

    \b
      conveyor customer add --name "Grace Hopper" --email grace@example.com --address "1 Navy Yard, Washington"
      conveyor customer show grace@example.com
      conveyor order list --customer grace@example.com
    """


customer.add_command(doubles)


@customer.command("list")
@Limit
@AsJson
def list_(limit: int, as_json: bool) -> None:
    """List customers, newest first.

    \b
      conveyor customer list --limit 100
    """
    found = listed(gateway(), "/customers", limit)
    if as_json:
        say_json(found)
    elif found:
        say(*shown.customers(found))
    else:
        say("There are no customers yet: `conveyor customer add` registers one.")


@customer.command()
@click.argument("named", type=Words(), metavar="EMAIL|ID")
@AsJson
def show(named: str, as_json: bool) -> None:
    """Show a customer: name, e-mail, phone, address.

    \b
      conveyor customer show ada@example.com
    """
    at = gateway()
    _show(at.get(f"/customers/{customer_id(at, named)}").body, as_json)


@customer.command()
@click.option("--name", type=Words(), required=True, help="As it stands on the parcel.")
@click.option("--email", type=Words(), required=True, help="May be used in place of the id in every command.")
@click.option("--address", type=Words(), required=True, help="Where parcels go when an order names no other address.")
@click.option("--phone", type=Words(), help="For the courier.")
@Key
@AsJson
def add(name: str, email: str, address: str, phone: str | None, key: str | None, as_json: bool) -> None:
    """Register a customer.

    \b
      conveyor customer add --name "Grace Hopper" --email grace@example.com --address "1 Navy Yard, Washington"
    """
    body: JSON = {"name": name, "email": email, "address": address}
    if phone is not None:
        body["phone"] = phone
    _show(gateway().post("/customers", body, key=once(key)).body, as_json)


def _show(found: JSON, as_json: bool) -> None:
    if as_json:
        say_json(found)
    else:
        say(*shown.customer(found))
