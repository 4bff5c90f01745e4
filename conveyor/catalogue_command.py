"""``conveyor catalogue``: what the shop sells."""

from pathlib import Path

import click

from conveyor.catalogue import has_its_own
from conveyor.catalogue import load as load_file
from conveyor.client import Gateway
from conveyor.target import target
from conveyor.terminal import say


@click.group()
def catalogue() -> None:
    """Load what the shop sells from a file.

    \b
      conveyor catalogue load conveyor/samples/catalogue.csv

    `conveyor product` shows and changes single products.
    """


@catalogue.command(short_help="Create the products of a CSV file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--new-shop", is_flag=True, help="Only where there is no order yet, and no product but those of FILE.")
def load(file: Path, new_shop: bool) -> None:
    """Create the products of FILE, a CSV with the columns sku, name, description, price, stock.

    \b
      conveyor catalogue load conveyor/samples/catalogue.csv

    A product whose sku the shop has already is left as it is, so loading a file twice changes nothing.
    """
    gateway = Gateway(target().gateway_url, connections=4, patience=30)
    if new_shop and has_its_own(gateway, file):
        say("The shop has orders or products of its own: nothing is loaded.")
        return
    loaded = load_file(gateway, file)
    for line, reason in sorted(loaded.refused.items()):
        say(f"line {line}: {reason}", err=True)
    say(f"{loaded.created} products created, {loaded.known} known already, {len(loaded.refused)} refused")
    if loaded.refused:
        raise SystemExit(1)
