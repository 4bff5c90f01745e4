"""``conveyor catalogue``: what the shop sells."""

from pathlib import Path
from typing import Any

import click

from conveyor.catalogue import Loaded, has_its_own, send
from conveyor.catalogue_columns import FIELDS
from conveyor.catalogue_file import FIRST, LAST, Answers, Catalogue, read_catalogue
from conveyor.client import Gateway
from conveyor.tables.errors import Uncertain
from conveyor.tables.options import Decimal, DryRun, Encoding
from conveyor.target import target
from conveyor.terminal import say
from conveyor.words import Words

#: So many products are shown of a catalogue that is not sent.
SHOWN = 3


class Mapped(click.ParamType[tuple[str, str]]):
    """A field and the title of its column, as ``sku=Artikel``, or its place, as ``sku=#4``."""

    name = "FIELD=TITLE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The field and the title. Fails the command where the field is none."""
        name, _, title = str(value).partition("=")
        if name.strip().lower() not in FIELDS or not title.strip():
            self.fail(f"{value!r} is not FIELD=TITLE with one of the fields {', '.join(FIELDS)}.", param, ctx)
        return name.strip().lower(), title.strip()


@click.group()
def catalogue() -> None:
    """Load what the shop sells from a file.

    \b
      conveyor catalogue load conveyor/samples/catalogue.csv

    `conveyor product` shows and changes single products.
    """


@catalogue.command(short_help="Create the products of a CSV or a workbook.")
@click.argument("file", type=click.Path(path_type=Path))
@DryRun
@click.option("--map", "mapped", multiple=True, type=Mapped(), help="The column of a field, as sku=Artikel or sku=#4.")
@Encoding
@click.option(
    "--sheet", type=Words(), metavar="NAME", help="The sheet of a workbook.  [default: the one with a catalogue]"
)
@Decimal
@click.option(
    "--repeats", type=click.Choice([FIRST, LAST]), help="Which row counts where a SKU has several that differ."
)
@click.option(
    "--allow-lookalikes", is_flag=True, help="Send SKUs that differ only in case, width or alphabet; say which."
)
@click.option("--new-shop", is_flag=True, help="Only where there is no order yet, and no product but those of FILE.")
def load(
    file: Path,
    dry_run: bool,
    mapped: tuple[tuple[str, str], ...],
    encoding: str | None,
    sheet: str | None,
    decimal: str | None,
    repeats: str | None,
    allow_lookalikes: bool,
    new_shop: bool,
) -> None:
    """Create the products of FILE: a CSV, or an xlsx or ods workbook, with the columns sku, name, price and, if there
    are any, description and stock.

    \b
      conveyor catalogue load conveyor/samples/catalogue.csv --dry-run
      conveyor catalogue load conveyor/samples/catalogue.csv
      conveyor catalogue load artikel.xlsx --map sku=Artikel --map price=Preis

    What is decided about the file is said before anything is sent. Where it can be read in more than one way, nothing
    is sent: the message names the option that says which one is meant. A row that cannot be a product is told with its
    line and the reason, and stops no other. A SKU that differs from another's only in case, width or alphabet is
    refused, unless --allow-lookalikes.

    A product whose sku the shop has already is left as it is, so loading a file twice changes nothing.

    Exit code: 0 when all rows are products of the shop now (with --dry-run: can be), 1 otherwise.
    """
    answers = Answers(encoding, sheet, decimal, repeats, allow_lookalikes, dict(mapped))
    gateway_url = "" if dry_run else target().gateway_url  # a setting that is wrong is told before a long file is read
    try:
        found = read_catalogue(file, answers)
    except Uncertain as uncertain:
        say(*uncertain.shown, err=True)
        raise
    if dry_run:
        _tell(found)
        _end_dry_run(found)
        return
    gateway = Gateway(gateway_url, connections=4, patience=30)
    if new_shop and has_its_own(gateway, found.products):
        say("The shop has orders or products of its own: nothing is loaded.")
        return
    _tell(found)
    _end(send(gateway, found, allow_lookalikes), found)


def _tell(found: Catalogue) -> None:
    say(*found.lines())
    for line, reason in sorted(found.refused.items()):
        say(f"line {line}: {reason}", err=True)
    for line, reason in found.alike.items():
        say(f"line {line}: warning: {reason}", err=True)


def _end_dry_run(found: Catalogue) -> None:
    for line, product in [*found.products.items()][:SHOWN]:
        price, stock = product["price"], product["stock_quantity"]
        say(f"  line {line}: {product['sku']}, {product['name']}, {price}, {stock:,} in stock")
    say("This is a dry run: nothing is sent.")
    if found.refused or not found.products:
        raise SystemExit(1)


def _end(loaded: Loaded, found: Catalogue) -> None:
    for line, reason in sorted(loaded.refused.items() - found.refused.items()):
        say(f"line {line}: {reason}", err=True)
    for line, reason in sorted(loaded.alike.items() - found.alike.items()):
        say(f"line {line}: warning: {reason}", err=True)
    say(f"{loaded.created} products created, {loaded.known} known already, {len(loaded.refused)} refused")
    if loaded.refused:
        raise SystemExit(1)
