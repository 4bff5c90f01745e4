"""``conveyor chaos``."""

import signal
import sys
from typing import Any

import click

from chassis.settings import settings
from conveyor.ranges import NumberRange, WholeRange
from conveyor.terminal import say


@click.command(short_help="Torment a stack of its own and prove that nothing is lost or doubled.")
@click.option(
    "--seed", default=1, show_default=True, type=WholeRange(), help="Makes the same schedule and orders again."
)
@click.option(
    "--minutes", default=10.0, show_default=True, type=NumberRange(0.5, 600), help="How long it is tormented."
)
@click.option("--orders", default=2_000, show_default=True, type=WholeRange(1), help="Spread over that time.")
@click.option("--dry-run", is_flag=True, help="Print the schedule and end.")
@click.pass_context
def chaos(context: click.Context, seed: int, minutes: float, orders: int, dry_run: bool) -> None:
    """Torment a stack of its own and prove that nothing is lost or doubled.

    A stack is started in a directory of its own (chaos, in CONVEYOR_STATE_DIR) and on ports of its own. Orders go
    through it, some of them cancelled, their parcels moved by couriers and operators. Meanwhile its processes are
    killed and paused, its servers are crashed and restarted, the cache is flushed, queues are capped, and messages are
    sent a second time or long afterwards. Then everything is brought back and drained, what was flagged is resumed,
    and every promise is checked in the three databases.

    \b
      conveyor chaos --seed 7
      conveyor chaos --minutes 1 --orders 200
      conveyor chaos --seed 7 --dry-run
      CONVEYOR_WORKERS=2 CONVEYOR_RELAYS=2 CONVEYOR_WEB_PROCESSES=2 conveyor chaos

    The last line is the verdict: seed, kills, restarts, pauses, duplicates, orders, flagged orders, violations.
    Every violation is a line above it, followed by all that the databases know of its order; the logs are kept.

    Where there is no RabbitMQ, what only it can do is left out, and the run says so.

    Exit code: 0 no violations, 1 at least one, or the stack could not be brought back, 2 a wrong command line.
    """
    from conveyor.chaos import run
    from conveyor.chaos.schedule import schedule

    if dry_run:
        given = settings()
        for action in schedule(seed, 60 * minutes, workers=given.workers, relays=given.relays):
            say(str(action))
        return
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    verdict = run.chaos(run.Options(seed, minutes, orders), settings())
    say(*str(verdict).split("\n"))
    context.exit(1 if verdict.violations else 0)


def _end(_number: int, _frame: Any) -> None:
    sys.exit(1)
