"""`conveyor replay FILE`."""

from pathlib import Path

import click

from conveyor.ranges import NumberRange, WholeRange
from conveyor.replay import run as replaying
from conveyor.target import target
from conveyor.words import Words


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
) -> None:
    """Send an order book through the gateway and watch every order to its end.

    FILE is a CSV with the columns of the UCI Online Retail set, in any order: InvoiceNo, StockCode, Description,
    Quantity, InvoiceDate, UnitPrice, CustomerID, Country. One order is sent per invoice, without prices. A line that
    cannot be an order line (a credit note, postage, a broken row, ...) is dropped and listed with its number and the
    reason; the rest of its invoice is sent. Nothing in the file stops the run. The list of dropped lines is a CSV
    that can be corrected in a spreadsheet and replayed in turn.

    \b
    A small order book comes with Conveyor:
      conveyor replay conveyor/samples/orders.csv
      conveyor replay conveyor/samples/orders.csv --run scarce --stock 20
      conveyor replay orders.csv --rate 50 --concurrency 16

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
    options = replaying.Options(file, run or file.name, concurrency, rate, limit, stock, rejects, patience)
    context.exit(replaying.replay(options, target()))
