"""``conveyor reconcile``."""

from contextlib import closing, nullcontext

import click

from conveyor.parallel import progress
from conveyor.ranges import NumberRange
from conveyor.target import target
from conveyor.words import Actor

#: So many orders take long enough for people to want to see that something happens.
MANY = 50_000


@click.command(short_help="Prove that the three databases tell one story.")
@click.option(
    "--settle",
    metavar="SECONDS",
    type=NumberRange(min=0),
    default=10.0,
    show_default=True,
    help="Look again after so long at orders that were moving.",
)
@click.option("--settled", is_flag=True, help="An unflagged order that is still Pending or Cancelling counts too.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without guessing; list the rest.")
@click.option("--dry-run", is_flag=True, help="With --repair: show what would be done, and do nothing.")
@Actor
@click.option("--all", "everything", is_flag=True, help="Print every deviation, not 50 of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def reconcile(
    context: click.Context,
    settle: float,
    settled: bool,
    repair: bool,
    dry_run: bool,
    actor: str,
    everything: bool,
    as_json: bool,
) -> None:
    """Prove that sales, inventory and delivery tell one story about every order and every unit of stock.

    Reads all three databases and the broker's dead-letter queues; changes and locks nothing, unless --repair is said.
    It may run beside live traffic: an order in flight is looked at again before it counts.

    \b
      conveyor reconcile                    the running system
      conveyor reconcile --settled          after it was drained: nothing may be under way any more
      conveyor reconcile --repair --dry-run what could be mended, and how
      conveyor reconcile --repair           mend it
      conveyor reconcile --json | jq .deviations

    \b
    What it proves (kinds of deviation):
      stock, negative_stock     each product's stock is the sum of its ledger, and not negative
      reservation               an order that ships holds stock; one that was rejected or cancelled does not
      ledger                    reserved - released is what the order's own lines say it should hold
      delivery                  the delivery agrees with the order; a cancelled order's stays cancelled
      delivery_version          the order knows its delivery's newest status and version
      duplicate_delivery        one delivery per order
      scans                     a parcel that was scanned as DELIVERED is that
      orphan_reservation, orphan_ledger, orphan_delivery
                                nothing belongs to an order that does not exist, unless somebody has decided
                                about it: `conveyor orphan`
      saga                      an open saga for each order in flight, and for no other
      total, lines              the total is the sum of units times price
      outbox, dead_letter       nothing is left there
      quarantine                no message waits there that no flagged order points to
      in_flight                 (--settled) every order has ended

    \b
    What --repair does, for databases that were restored from backups of different moments:
      inventory is older        takes the stock of shipped orders again, if there is enough; gives that of cancelled
                                orders back again
      delivery is older         makes deliveries again, and brings them up to what sales was told of them before
      sales is older            tells orders where their delivery is; asks for a cancel again that delivery and
                                inventory have on record; prices an order again whose stock is held
      any                       begins the chain of an order in flight anew that has none, closes that of an ended one

    \b
    An order is locked and looked at again before it is mended, by the services' own functions. Each repair is a row of
    the table `repairs`, in the database and in the transaction that it was made in. What would have to be guessed is
    listed as not mended, with the reason and what a person can do. To repair again changes nothing.

    \b
    Each deviation is a line: kind, id, what is there, what should be.
    Exit code: 0 nothing found (or all of it mended), 1 something found (and left), or a source that cannot be read,
    2 a wrong command line.

    The three CONVEYOR_..._DATABASE_URL and CONVEYOR_BROKER_URL are taken from the environment, or from the stack that
    `conveyor run` has running here.
    """
    # Here, so that the other commands need not wait until all services are imported.
    from conveyor.reconcile import printing, run
    from conveyor.reconcile.repair import Repairs

    if dry_run and not repair:
        raise click.UsageError("--dry-run shows what --repair would do: say --repair --dry-run.")
    findings, settings = run.Findings(), target()
    total = run.about_how_many(settings)
    with progress("orders", total) if total >= MANY else nullcontext(lambda _more: None) as advance:
        found = run.reconcile(settings, findings, settle=settle, settled=settled, advance=advance)
        if not repair and as_json:
            left = printing.deviations_as_json(findings, found)
        elif not repair:
            left = printing.deviations_as_lines(findings, found, everything)
        else:
            with closing(Repairs(settings, actor, dry_run)) as repairs:
                results = repairs.mend(found)
                if as_json:
                    left = printing.repairs_as_json(findings, results)
                else:
                    left = printing.repairs_as_lines(findings, results, everything, dry_run)
    context.exit(1 if left else 0)
