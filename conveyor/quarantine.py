"""``conveyor quarantine``: the messages that nobody could work on; look at them, send them again, or let them be."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database
from chassis.logs import configure_logs
from conveyor.access import check_access
from conveyor.databases import asking
from conveyor.destroying import Yes, require_consent
from conveyor.ranges import WholeRange
from conveyor.target import join, target
from conveyor.terminal import say, say_json
from conveyor.words import Actor, Words
from sales import faults, quarantined
from sales.errors import AlreadySettled, MessageNotFound, NotReplayable

#: What ``list`` shows of a message, and how wide.
COLUMNS = {"message_id": 36, "last_seen": 19, "queue": 24, "task": 32, "order_id": 36, "count": 5, "state": 8}

AsJson = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group()
def quarantine() -> None:
    """Messages that nobody could work on: look at them, send them again, or let them be.

    \b
      conveyor quarantine list
      conveyor quarantine show ID
      conveyor quarantine replay --all

    They are in the sales database; nothing is ever deleted there, what was settled stays on record.
    """


@quarantine.command(short_help="Bring dead letters into the quarantine.")
def run() -> None:
    """Bring dead letters into the quarantine, until told to stop (SIGTERM).

    \b
      conveyor quarantine run
    """
    settings = join("sales_database_url", "broker_url")
    from tasks.quarantine import run_quarantine

    configure_logs(settings, "quarantine")
    check_access(settings, database="sales", broker=True)
    run_quarantine(settings)


@quarantine.command("list")
@click.option("--all", "settled", is_flag=True, help="Include messages that were replayed or dropped.")
@click.option("--order", "order_id", metavar="ID", type=click.UUID, help="Only messages about this order.")
@click.option(
    "--limit", type=WholeRange(1, 10_000), default=100, show_default=True, help="How many to show, newest first."
)
@AsJson
def list_(settled: bool, limit: int, order_id: UUID | None, as_json: bool) -> None:
    """List the messages that wait for somebody, newest first.

    An order may need attention without a message here: `conveyor order list --attention` says which do, and why.

    \b
      conveyor quarantine list
      conveyor quarantine list --all --limit 1000 --json
      conveyor quarantine list --order 0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10
    """
    with asking(_sessions()) as session:
        rows = quarantined.quarantined(session, settled=settled, limit=limit, order_id=order_id)
    if as_json:
        say_json(rows)
    elif rows:
        say(*_table(rows))
    else:
        say("The quarantine is empty." if settled else "No messages are waiting.")


@quarantine.command(short_help="Show a message, whole.")
@click.argument("message_id", type=Words())
@AsJson
def show(message_id: str, as_json: bool) -> None:
    """Show a message, whole: what it asks for, what it carries, and why it is here.

    \b
      conveyor quarantine show 0192f0c2-1b7e-7d11-8c55-5d2e9b8f7a01
    """
    with asking(_sessions()) as session:
        found = quarantined.message_in_full(session, message_id)
    actions = [dict(each._mapping) for each in found.pop("actions")]
    if as_json:
        say_json({**found, "actions": actions})
        return
    for name, value in found.items():
        first, *others = _in_lines(name, value)
        say(f"{name.replace('_', ' ') + ':':16}{first}", *(" " * 16 + line for line in others))
    for each in actions:
        why = f", {each['reason']}" if each["reason"] else ""
        say(f"{each['at']:%Y-%m-%d %H:%M:%S}: {each['action']} by {each['actor']}{why}")


@quarantine.command(short_help="Send messages again.")
@click.argument("message_ids", type=Words(), metavar="ID...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every message that waits.")
@Actor
def replay(message_ids: tuple[str, ...], every: bool, actor: str) -> None:
    """Send messages again, each on its own, and clear the flags of their orders. Safe to repeat.

    \b
      conveyor quarantine replay 0192f0c2-1b7e-7d11-8c55-5d2e9b8f7a01
      conveyor quarantine replay --all

    An order keeps its flag while another message about it waits.
    """
    sessions = _sessions()
    if every == bool(message_ids):
        raise click.UsageError("Name messages by their ids, or say --all.")
    _each(
        sessions,
        _waiting(sessions) if every else message_ids,
        lambda session, message_id: faults.replay_message(session, message_id, actor),
        "replayed",
    )


@quarantine.command()
@click.argument("message_ids", type=Words(), metavar="ID...", nargs=-1, required=True)
@click.option("--reason", type=Words(), required=True, help="Why it is not needed any more, for the record.")
@Actor
@Yes
def drop(message_ids: tuple[str, ...], reason: str, actor: str, yes: bool) -> None:
    """Settle messages that are not needed any more.

    Asks first, unless --yes is said.

    \b
      conveyor quarantine drop 0192f0c2-1b7e-7d11-8c55-5d2e9b8f7a01 --reason "placed again by telephone"
      conveyor quarantine drop 0192f0c2-1b7e-7d11-8c55-5d2e9b8f7a01 --reason "a test order" --yes

    Their orders keep their flags: `conveyor order resume` clears them.
    """
    count = f"{len(message_ids)} messages are" if len(message_ids) > 1 else "A message is"
    require_consent(f"{count} settled for good, and cannot be replayed", "drop", yes)
    _each(
        _sessions(),
        message_ids,
        lambda session, message_id: faults.drop_message(session, message_id, actor, reason),
        "dropped",
    )


def _each(
    sessions: sessionmaker[Session], message_ids: Iterable[str], settle: Callable[[Session, str], bool], done: str
) -> None:
    """Settle them one by one, a line for each; what cannot be settled keeps the others from nothing."""
    refused = False
    for message_id in message_ids:
        try:
            with asking(sessions) as session:
                settled = settle(session, message_id)
                now = quarantined.message_in_full(session, message_id)
        except (MessageNotFound, NotReplayable, AlreadySettled) as error:
            say(str(error), err=True)
            refused = True
            continue
        if settled:
            say(f"{message_id}: {done}")
        else:
            say(f"{message_id}: was {now['state']} by {now['settled_by']} at {now['settled_at']:%Y-%m-%d %H:%M:%S}")
        for order_id in now["flagged_orders"]:
            say(f"  order {order_id} still needs attention: conveyor order resume {order_id}")
    if refused:
        sys.exit(1)


def _waiting(sessions: sessionmaker[Session]) -> list[str]:
    with asking(sessions) as session:
        return quarantined.waiting_messages(session)


def _sessions() -> sessionmaker[Session]:
    return open_database("sales", target())


def _table(rows: Iterable[Any]) -> Iterable[str]:
    yield "  ".join(f"{name.replace('_', ' '):{width}}" for name, width in COLUMNS.items()) + "  reason"
    for row in rows:
        cells = {**row, "last_seen": f"{row['last_seen']:%Y-%m-%d %H:%M:%S}"}
        shown = "  ".join(f"{cells[name] or '-'!s:{width}}" for name, width in COLUMNS.items())
        yield f"{shown}  {' '.join(row['reason'].split())}"


def _in_lines(name: str, value: object) -> list[str]:
    """A member of a message as people read it. What it carries keeps its lines, and so does a traceback."""
    if name in ("body", "headers"):
        return json.dumps(value, indent=2, default=str).split("\n")
    if isinstance(value, list):
        return [", ".join(map(str, value)) or "-"]
    return str(value).split("\n")
