"""``conveyor bench``."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from conveyor.bench import machine, parts, table
from conveyor.bench.printing import report
from conveyor.bench.run import Bench, Options
from conveyor.bench.shop import Shop
from conveyor.own_stack import system


@click.command(short_help="Measure how fast it is, and check that the answers were right.")
@click.argument("chosen", metavar="[PART...]", nargs=-1, type=click.Choice(list(parts.PARTS)))
@click.option("--orders", default=20_000, show_default=True, type=click.IntRange(1), help="Of an ordinary load.")
@click.option("--clients", default=32, show_default=True, type=click.IntRange(1, 500), help="At once.")
@click.option("--lines", default=2, show_default=True, type=click.IntRange(1, 100), help="Of an order.")
@click.option("--seeded", default=1_000_000, show_default=True, type=click.IntRange(1), help="Orders put in by SQL.")
@click.option("--book", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The order book to replay.")
@click.option("--out", default=".conveyor-bench", show_default=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document.")
@click.pass_context
def bench(
    context: click.Context,
    chosen: tuple[str, ...],
    orders: int,
    clients: int,
    lines: int,
    seeded: int,
    book: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Measure how fast it is, and check that the answers were right.

    \b
      make bench BASELINE=DIR                everything, on a stack of its own
      conveyor bench orders --orders 2000    one part, on the running system if there is one
    """
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    baseline = os.environ.get("BASELINE")
    options = Options(orders, clients, lines, seeded, Path(baseline).absolute() if baseline else None, book)
    with system() as settings:
        run = Bench(settings, options, Shop(settings))
        document: dict[str, Any] = {
            "machine": machine.machine(),
            "versions": machine.versions(settings),
            "postgresql": machine.postgres(settings.database_url("sales")),
            "settings": machine.chosen(settings),
            "queues": machine.queues(settings),
            "conditions": {"orders": orders, "clients": clients, "lines": lines, "products": 1_000},
        }
        parts.run(run, chosen or list(parts.PARTS))
    document |= {"table": table.document(run.results), "results": run.results}
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(report(document, run.results)))
    click.echo(f"{out / 'bench.json'}", err=True)
    bad = any(each.get("wrong") or each.get("failed") for each in run.results.values())
    context.exit(1 if bad else 0)


def _end(_number: int, _frame: Any) -> None:
    sys.exit(1)
