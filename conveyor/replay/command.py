"""`conveyor replay FILE`."""

from pathlib import Path
from typing import Any

import click

from conveyor.ranges import NumberRange, WholeRange
from conveyor.replay import run as replaying
from conveyor.replay.answers import Answers
from conveyor.replay.formats import FIELDS, FORMATS
from conveyor.tables.dates import DMY, MDY, YMD
from conveyor.tables.options import Decimal, DryRun, Encoding
from conveyor.target import target
from conveyor.words import Words


class Mapped(click.ParamType[tuple[str, str]]):
    """A field of ours and the title of its column, as ``StockCode=sku``; the field in either case."""

    name = "FIELD=TITLE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The field and the title. Fails the command where the field is none."""
        name, _, title = str(value).partition("=")
        field = next((each for each in FIELDS if each.lower() == name.strip().lower()), None)
        if field is None or not title.strip():
            self.fail(f"{value!r} is not FIELD=TITLE with one of the fields {', '.join(FIELDS)}.", param, ctx)
        return field, title.strip()


@click.command(short_help="Send an order book through the gateway and watch every order to its end.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", type=Words(), metavar="NAME", help="Name of the run.  [default: the file's name]")
@click.option("--concurrency", default=8, show_default=True, type=WholeRange(1, 256), help="Requests at a time.")
@click.option(
    "--rate",
    type=NumberRange(min=0, min_open=True),
    help="Orders a second.  [default: as fast as --concurrency allows]",
)
@click.option("--limit", type=WholeRange(min=1), help="Send only the first so many invoices.")
@click.option(
    "--stock",
    type=WholeRange(min=0),
    help="Units of every product when the run begins.  [default: enough for the whole file]",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to list the lines that are not sent.  [default: FILE's name with .rejects.csv, beside FILE]",
)
@click.option(
    "--wait",
    "patience",
    metavar="SECONDS",
    default=300.0,
    show_default=True,
    type=NumberRange(min=0),
    help="Give up when no order has ended, or the gateway has been away, for so long.",
)
@DryRun
@click.option(
    "--format",
    "source",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="Which export the file is.",
)
@click.option(
    "--map",
    "mapped",
    multiple=True,
    type=Mapped(),
    metavar="FIELD=TITLE",
    help="The column of a field, as StockCode=sku, or StockCode=#4. A second one for StockCode stands in.",
)
@Encoding
@click.option(
    "--sheet", type=Words(), metavar="NAME", help="The sheet of a workbook.  [default: the one with an order book]"
)
@Decimal
@click.option(
    "--dates", type=click.Choice([DMY, MDY, YMD]), help="The order of a date.  [default: found from all dates]"
)
@click.option(
    "--rules",
    type=click.Choice(["auto", "uci", "none"]),
    default="auto",
    show_default=True,
    help="Whose codes are no products: uci drops POST, M, C123456 and the like.",
)
@click.option(
    "--repeats",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    show_default=True,
    help="An order that stands in the file twice, line for line: once, or added up.",
)
@click.option(
    "--allow-lookalikes", is_flag=True, help="Take a SKU that differs from another's only in case, width or alphabet."
)
@click.pass_context
def replay(
    context: click.Context,
    file: Path,
    run: str | None,
    concurrency: int,
    rate: float | None,
    limit: int | None,
    stock: int | None,
    rejects: Path | None,
    patience: float,
    dry_run: bool,
    source: str,
    mapped: tuple[tuple[str, str], ...],
    encoding: str | None,
    sheet: str | None,
    decimal: str | None,
    dates: str | None,
    rules: str,
    repeats: str,
    allow_lookalikes: bool,
) -> None:
    """Send an order book through the gateway and watch every order to its end.

    FILE is a CSV, an xlsx or ods workbook, or JSON lines: an order book with a row for each product of an order. The
    columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country are known, and
    those of the exports that --format names; --map says what others are called. docs/migrating.md has an example of
    each. One order is sent per invoice, without prices. A line that cannot be an order line (no quantity, a broken
    row, ...) is dropped and listed with its number and the reason; the rest of its invoice is sent. The list of
    dropped lines is a CSV that can be corrected in a spreadsheet and replayed in turn.

    \b
    A small order book comes with Conveyor:
      conveyor replay conveyor/samples/orders.csv --dry-run
      conveyor replay conveyor/samples/orders.csv
      conveyor replay conveyor/samples/orders.csv --run scarce --stock 20
      conveyor replay orders.csv --rate 50 --concurrency 16

    CERTAIN OR ASKED. What is decided about the file is said before anything is sent. Where it can be read in more
    than one way, nothing is sent: the message names the option that says which one is meant. Rows without an order
    number belong to the order above. An order that has two customers, or lines an hour or more apart, is refused,
    and so is a number in scientific notation: a spreadsheet has made one of many.

    RUNS. An order's idempotency key is made of the run's name and the invoice: the same run a second time makes no
    new order, gets the stored answers, and waits for what is still open. Another --run makes new orders, for
    customers of its own. Invoices without a customer go to one guest.

    STOCK. All runs share one catalogue: a product's sku is its stock code, and its price the first one above 0 in
    the file; a product that exists keeps its price. When a run begins, every product of the file is given --stock
    units, up or down, by an adjustment in the ledger; without --stock, what is short is filled up to what the whole
    file asks for, --limit or not. The same run a second time leaves the stock alone.

    LIMITS. An invoice of more than 1,000 lines is sent as several orders; a line of more than 100,000 units is
    dropped. (CONVEYOR_MAX_ORDER_LINES, CONVEYOR_MAX_LINE_QUANTITY)

    EXIT CODE. 0 when every order was taken by the gateway and has ended, 1 otherwise, 2 for a wrong command line.
    """
    titles: dict[str, tuple[str, ...]] = {}
    for name, title in mapped:
        titles[name] = (*titles.get(name, ()), title)
    answers = Answers(encoding, sheet, decimal, dates, source, titles, rules, repeats == "keep")
    options = replaying.Options(
        file, run or file.name, concurrency, rate, limit, stock, rejects, patience, dry_run, allow_lookalikes, answers
    )
    context.exit(replaying.replay(options, target()))
