"""People name customers by e-mail address and products by SKU; the gateway wants ids."""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

import click

from chassis.codes import nfc
from chassis.errors import ConveyorError
from chassis.notation import AMOUNT, whole
from chassis.printable import printable
from conveyor.client import JSON, Gateway

#: An amount of money as the gateway takes it.
_AMOUNT = re.compile(AMOUNT)


class NotFound(ConveyorError):
    """Nothing has this name."""


def customer_id(gateway: Gateway, named: str) -> str:
    """The id of the customer with this id or e-mail address. Raises NotFound, GatewayError."""
    if _is_id(named):
        return named
    found = gateway.get("/customers", email=named).body["items"]
    if not found:
        raise NotFound(f"there is no customer {printable(named)}; `conveyor customer add` registers one")
    if len(found) > 1:
        listed = ", ".join(each["id"] for each in found)
        raise NotFound(f"{len(found)} customers have the address {printable(named)}; name one by its id: {listed}")
    return str(found[0]["id"])


def find_product(gateway: Gateway, named: str) -> JSON:
    """The product with this id, or with this SKU in either case. Raises NotFound, GatewayError."""
    if _is_id(named):
        found: JSON = gateway.get(f"/products/{named}").body
        return found
    exact: list[JSON] = gateway.get("/products", sku=named).body["items"] if named.strip() else []
    if len(exact) > 1:  # an older release took one text in two spellings
        exact = [each for each in exact if each["sku"] == named] or exact
    alike = exact or [
        each for each in gateway.every("/products", q=named, limit=100) if folded(each["sku"]) == folded(named)
    ]
    if not alike:
        raise NotFound(
            f"there is no product {printable(named)}; `conveyor product list --search` finds one by a part of its name"
        )
    if len(alike) > 1:
        raise NotFound(
            f"{printable(named)} could be {' or '.join(each['sku'] for each in alike)}: write it as it is there"
        )
    return alike[0]


def product_id(gateway: Gateway, named: str) -> str:
    """The id of the product with this id or SKU. Raises NotFound, GatewayError."""
    return named if _is_id(named) else str(find_product(gateway, named)["id"])


def lines(gateway: Gateway, items: Sequence[tuple[str, int]], prices: Mapping[str, str]) -> list[JSON]:
    """The lines of an order as the gateway takes them; ``prices`` by SKU or id. Raises NotFound, GatewayError."""
    seen = {folded(named): price for named, price in prices.items()}
    asked: list[JSON] = []
    for named, quantity in items:
        line: JSON = {"product_id": product_id(gateway, named), "quantity": quantity}
        if folded(named) in seen:
            line["price"] = seen[folded(named)]
        asked.append(line)
    return asked


class Item(click.ParamType[tuple[str, int]]):
    """``SKU_OR_ID=QTY``."""

    name = "SKU_OR_ID=QTY"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        named, sign, quantity = value.rpartition("=")
        try:
            if not sign or not named or (units := whole(quantity)) < 0:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is not a product and a whole number of units, as in MUG-STONE=2", param, ctx)
        return named, units


class Amount(click.ParamType[str]):
    """An amount of money as the gateway takes it: ``12.50``."""

    name = "AMOUNT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _AMOUNT.fullmatch(value):
            self.fail(f"{value!r} is not an amount, as in 12.50", param, ctx)
        return value


class Price(click.ParamType[tuple[str, str]]):
    """``SKU_OR_ID=AMOUNT``."""

    name = "SKU_OR_ID=AMOUNT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        named, sign, amount = value.rpartition("=")
        if not sign or not named or not _AMOUNT.fullmatch(amount):
            self.fail(f"{value!r} is not a product and an amount, as in MUG-STONE=9.80", param, ctx)
        return named, amount


def folded(named: str) -> str:
    """A name in the spelling in which names are compared: case does not count, nor how Unicode writes it."""
    return nfc(nfc(named).casefold())


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
