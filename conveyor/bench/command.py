"""``conveyor bench``."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from chassis.settings import PREFIX, Settings
from conveyor import terminal
from conveyor.bench import compare, machine, parts, plot, table
from conveyor.bench.printing import report
from conveyor.bench.run import Bench, Document, Options, say
from conveyor.bench.shop import Shop
from conveyor.own_stack import PLACES, is_there, system
from conveyor.ranges import WholeRange
from conveyor.terminal import say_json


@click.command(short_help="Measure how fast it is, and check that the answers were right.")
@click.argument("names", metavar="[PART...]", nargs=-1)
@click.option("--orders", default=20_000, show_default=True, type=WholeRange(1), help="Of an ordinary load.")
@click.option("--clients", default=32, show_default=True, type=WholeRange(1, 500), help="At once.")
@click.option("--lines", default=2, show_default=True, type=WholeRange(1, 100), help="Of an order.")
@click.option("--products", default=1_000, show_default=True, type=WholeRange(2, 1_000), help="To choose from.")
@click.option("--seeded", default=1_000_000, show_default=True, type=WholeRange(1), help="Orders put in by SQL.")
@click.option("--naive-orders", default=5_000, show_default=True, type=WholeRange(1), help="Of its ordinary load.")
@click.option(
    "--book",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The order book to replay.  [default: the one beside BASELINE, else a small one]",
)
@click.option("--runs", default=3, show_default=True, type=WholeRange(1, 100), help="Of each revision (compare).")
@click.option(
    "--second", metavar="NAME=VALUE", multiple=True, help="A setting of the second alone (compare); repeatable."
)
@click.option("--out", default=".conveyor-bench", show_default=True, type=click.Path(path_type=Path), help="A folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document instead of the table.")
@click.pass_context
def bench(
    context: click.Context,
    names: tuple[str, ...],
    orders: int,
    clients: int,
    lines: int,
    products: int,
    seeded: int,
    naive_orders: int,
    book: Path | None,
    runs: int,
    second: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Measure how fast it is, and check that the answers were right.

    Works on the running system; where none is running, it starts one of its own, with its data in a temporary
    directory, and stops it afterwards. On a running system it leaves orders, customers and products of its own behind.

    \b
      conveyor bench                                 everything; minutes
      conveyor bench orders idle --orders 2000       parts of it, a quick look
      BASELINE=DIR conveyor bench                    with the naive pipeline and the SQL-only ceiling in DIR
      conveyor bench compare v0.1.0 HEAD --runs 3    two revisions in turn, each on a stack of its own
      conveyor bench compare HEAD HEAD --second CONVEYOR_WORKERS=2

    \b
    orders         an ordinary load: rate, latency, CPU and memory by kind of process
    naive          the same on BASELINE's naive pipeline, on the same servers
    ceiling        the writes of an order in SQL alone, by BASELINE's script and pgbench
    idle           one order at a time
    replay         an order book; naive-replay: the same on the naive pipeline
    flash          5,000 buyers of one product, 1,000 in stock
    reads          GET /orders/{id}
    parcel         a courier's PATCH until the order shows it, one at a time; courier: 10,000 of them
    seeded         the ordinary load with a million orders in the databases, beside a system with empty ones;
                   left out on a running system unless named
    list           GET /orders, filtered and sorted, first and late pages

    What is a ratio to the ordinary load (flash, reads, courier, seeded) is compared with short ones right before and
    after the part: a shared machine is not as fast some minutes later.

    After each part that changes anything the databases are checked as `conveyor reconcile` does: a fast wrong answer is
    no result. Figures (bench.json) and a plot (bench.png, with matplotlib) are written to --out.

    Exit code: 0 all answers were right, 1 some were wrong or a part failed, 2 a wrong command line.
    """
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    baseline = os.environ.get("BASELINE")
    options = Options(
        orders, clients, lines, products, seeded, naive_orders, Path(baseline).absolute() if baseline else None, book
    )
    if names[:1] == ("compare",):
        if len(names) != 3:
            raise click.UsageError("compare takes two revisions")
        document = compare.compare(names[1:], runs, options, dict(map(_setting, second)))
        shown, bad = compare.lines(document), bool(document["wrong"])
    elif second:
        raise click.UsageError("--second is for compare")
    else:
        document, shown, bad = _measured(names, options, out)
    file = out / ("compare.json" if names[:1] == ("compare",) else "bench.json")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        say_json(document)
    else:
        terminal.say(*shown)
    say(f"figures: {file}")
    context.exit(1 if bad else 0)


def _setting(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    known = {PREFIX + each.name.upper() for each in fields(Settings) if each.name not in PLACES}
    if not equals or name not in known:
        raise click.BadParameter(
            f"{given} is not NAME=VALUE of a setting of how it works, such as CONVEYOR_WORKERS=2", param_hint="--second"
        )
    return name, value


def _measured(names: tuple[str, ...], options: Options, out: Path) -> tuple[Document, Iterator[str], bool]:
    """The document, the report, and whether anything was wrong or failed."""
    unknown = [each for each in names if each not in parts.PARTS]
    if unknown:
        raise click.UsageError(f"there is no part {unknown[0]}: {', '.join(parts.PARTS)}")
    own = not is_there()
    with system() as settings:
        run = Bench(settings, options, Shop(settings))
        document = machine.document(settings) | {"conditions": options.document(), "quick": options.quick}
        parts.run(run, names or [each for each in parts.PARTS if own or each != "seeded"])
    document |= {"table": table.document(run.results), "results": run.results}
    _draw(run, out)
    bad = any(each.get("wrong") or each.get("failed") for each in run.results.values())
    return document, report(document, run.results), bad


def _draw(run: Bench, out: Path) -> None:
    if not plot.can_plot():
        say("no plot: matplotlib is missing; pip install 'conveyor[bench]', or make bench")
        return
    out.mkdir(parents=True, exist_ok=True)
    plot.draw(run.results, run.latencies, out / "bench.png")
    say(f"plot: {out / 'bench.png'}")


def _end(_number: int, _frame: Any) -> None:
    sys.exit(1)
