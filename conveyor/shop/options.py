"""What the commands at the gateway have in common: the gateway itself, their options, their lists."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

import click

from conveyor.client import JSON, Gateway, Refused
from conveyor.ranges import WholeRange
from conveyor.target import target
from conveyor.terminal import say
from conveyor.words import Words

Command = TypeVar("Command", bound=Callable[..., Any])

LARGEST_PAGE = 100
#: Seconds in which a gateway that is away or busy is asked again, where that can do no harm.
PATIENCE = 5.0
#: Seconds that an answer of the gateway may take: it gives up a service that says nothing before that.
ANSWER_WITHIN = 15.0

AsJson = click.option("--json", "as_json", is_flag=True, help="JSON, as the gateway has it.")
Limit = click.option(
    "--limit", metavar="N", type=WholeRange(min=1), default=20, show_default=True, help="At most so many."
)
_After = click.option(
    "--after", type=Words(), metavar="TIME", help="Made at this time or later; ISO 8601 with Z or an offset."
)
_Before = click.option("--before", type=Words(), metavar="TIME", help="Made before this time.")
_OldestFirst = click.option("--oldest-first", is_flag=True, help="Newest first otherwise.")
Key = click.option(
    "--key",
    type=Words(),
    help="Idempotency key: the same request under the same key is carried out once, however often it is sent.",
)


def Listing(command: Command) -> Command:
    """The options of a list in the order of making: ``after``, ``before``, ``oldest_first``, ``limit``, ``as_json``."""
    for option in (AsJson, Limit, _OldestFirst, _Before, _After):
        command = option(command)
    return command


def gateway(wait: int = 0) -> Gateway:
    """The one of CONVEYOR_GATEWAY_URL, else of the stack that runs here; ``wait``: seconds it may wait itself."""
    return Gateway(target().gateway_url, timeout=ANSWER_WITHIN + wait, patience=PATIENCE)


def listed(at: Gateway, path: str, limit: int, **filters: str | int | None) -> list[JSON]:
    """The first rows of a list, at most ``limit``; a filter that is None is left out. Raises GatewayError."""
    given = {name: value for name, value in filters.items() if value is not None}
    return list(islice(at.every(path, limit=min(limit, LARGEST_PAGE), **given), limit))


def none_of(what: str, *filters: object) -> str:
    """What a list says that has nothing to show; a filter that was not given is None."""
    return f"There are no {what}." if all(each is None for each in filters) else f"No {what} are like that."


def once(key: str | None) -> str:
    """The key of a request that may then be repeated while the gateway is away: the user's, or one of its own."""
    return key or str(uuid4())


@contextmanager
def telling_what_is_allowed() -> Iterator[None]:
    """Where the gateway refuses a move, say which ones it would take. Raises GatewayError."""
    try:
        yield
    except Refused as refusal:
        allowed = refusal.problem.get("allowed")
        if allowed:
            say(f"what is allowed now: {', '.join(allowed)}", err=True)
        raise
