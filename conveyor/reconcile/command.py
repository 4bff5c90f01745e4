"""``conveyor reconcile``."""

import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from conveyor.parallel import progress
from conveyor.target import target

if TYPE_CHECKING:
    from conveyor.reconcile.rules import Deviation
    from conveyor.reconcile.run import Findings

#: Of any kind at most so many are printed without --all; a summary that has scrolled away helps nobody.
SHOWN = 50
#: So many orders take long enough for people to want to see that something happens.
MANY = 50_000


@click.command(short_help="Prove that the three databases tell one story.")
@click.option(
    "--settle",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Look again after so long at orders that were moving.",
)
@click.option("--settled", is_flag=True, help="An unflagged order that is still Pending or Cancelling counts too.")
@click.option("--all", "everything", is_flag=True, help=f"Print every deviation, not {SHOWN} of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def reconcile(context: click.Context, settle: float, settled: bool, everything: bool, as_json: bool) -> None:
    """Prove that sales, inventory and delivery tell one story about every order and every unit of stock.

    Reads all three databases and the broker's dead-letter queues; changes and locks nothing. It may run beside live
    traffic: an order in flight is looked at again before it counts.

    \b
      conveyor reconcile                 the running system
      conveyor reconcile --settled       after it was drained: nothing may be under way any more
      conveyor reconcile --json | jq .deviations

    \b
    What it proves (kinds of deviation):
      stock, negative_stock     each product's stock is the sum of its ledger, and not negative
      reservation               an order that ships holds stock; one that was rejected or cancelled does not
      ledger                    reserved - released is what the order's own lines say it should hold
      delivery                  the delivery agrees with the order; a cancelled order's stays cancelled
      delivery_version          the order knows its delivery's newest status and version
      duplicate_delivery        one delivery per order
      orphan_reservation, orphan_ledger, orphan_delivery
                                nothing belongs to an order that does not exist
      saga                      an open saga for each order in flight, and for no other
      total, lines              the total is the sum of units times price
      outbox, dead_letter       nothing is left there
      quarantine                no message waits there that no flagged order points to
      in_flight                 (--settled) every order has ended

    \b
    Each deviation is a line: kind, id, what is there, what should be.
    Exit code: 0 nothing found, 1 something found or a source that cannot be read, 2 a wrong command line.

    The three CONVEYOR_..._DATABASE_URL and CONVEYOR_BROKER_URL are taken from the environment, or from the stack that
    `conveyor run` has running here.
    """
    from conveyor.reconcile import run

    findings, settings = run.Findings(), target()
    total = run.about_how_many(settings)
    with progress("orders", total) if total >= MANY else nullcontext(lambda _more: None) as advance:
        found = run.reconcile(settings, findings, settle=settle, settled=settled, advance=advance)
        count = _print_json(findings, found) if as_json else _print_lines(findings, found, everything)
    context.exit(1 if count else 0)


def _print_json(findings: "Findings", found: "Iterable[Deviation]") -> int:
    """Written as they are found, so that a million of them need no memory."""
    count = 0
    click.echo('{"deviations": [', nl=False)
    for count, each in enumerate(found, start=1):
        click.echo(("," if count > 1 else "") + "\n" + json.dumps(each._asdict()), nl=False)
    checked = {name.replace(" ", "_").replace("-", "_"): number for name, number in findings.checked.items()}
    rest = {"ok": not count, "checked": checked, "unchecked": findings.unchecked}
    click.echo("],\n" + json.dumps(rest).removeprefix("{"))
    return count


def _print_lines(findings: "Findings", found: "Iterable[Deviation]", everything: bool) -> int:
    by_kind: dict[str, int] = {}
    for each in found:
        by_kind[each.kind] = by_kind.get(each.kind, 0) + 1
        if everything or by_kind[each.kind] <= SHOWN:
            click.echo(f"{each.kind}  {each.id}  there is: {each.found}  should be: {each.expected}")
    for line in _summary(findings, by_kind):
        click.echo(line)
    return sum(by_kind.values())


def _summary(findings: "Findings", by_kind: dict[str, int]) -> Iterator[str]:
    for kind, count in by_kind.items():
        if count > SHOWN:
            yield f"{kind}: {count - SHOWN:,} more; --all prints them"
    yield "checked " + ", ".join(f"{count:,} {name}" for name, count in findings.checked.items())
    for what in findings.unchecked:
        yield f"not checked: {what}"
    if by_kind:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in by_kind.items())
        yield f"{sum(by_kind.values()):,} DEVIATIONS: {listed}"
    else:
        yield "OK: the databases agree"
