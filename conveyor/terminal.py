"""Everything that the commands print passes here: one line for each thing that is said, and only what is printable.

Names, addresses and reasons were typed in by strangers. An escape sequence among them is shown, not obeyed; a line
break among them is shown, and begins no line.
"""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from chassis.printable import printable


def say(*lines: str, err: bool = False) -> None:
    """Print lines, on stdout or, with ``err``, on stderr. A character that its encoding lacks becomes ``\\xe9``."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    for line in lines:
        click.echo(printable(line).encode(encoding, "backslashreplace").decode(encoding), err=err)


def say_in_place(words: str) -> None:
    """Show this at a terminal on stderr, in the place of what was shown before; elsewhere nothing is shown."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{printable(words)}", nl=False, err=True)


def say_paragraph(text: str, *, err: bool = False) -> None:
    """Print a text of several lines. All but the first are indented, so that none can be taken for something said."""
    first, *others = text.rstrip("\n").split("\n")
    say(first, *(f"  {line.strip()}" for line in others), err=err)


def say_json(value: Any, *, indent: int | None = 2, default: Callable[[Any], Any] = str) -> None:
    """Print a value as a JSON document in ASCII, which every terminal has; on one line with ``indent=None``."""
    _say_ascii(json.dumps(value, indent=indent, default=default) + "\n")


def say_json_list(name: str, entries: Iterable[Any], rest: Callable[[], dict[str, Any]]) -> None:
    """Print ``{name: [entries], **rest}`` as one JSON document, each entry on a line as soon as it is there.

    ``rest`` is asked for when the last entry has been printed.
    """
    _say_ascii(f"{{{json.dumps(name)}: [")
    for number, entry in enumerate(entries):
        _say_ascii(("," if number else "") + "\n" + json.dumps(entry))
    _say_ascii("],\n" + json.dumps(rest()).removeprefix("{") + "\n")


def _say_ascii(text: str) -> None:
    # The one control character that JSON lets stand as it is.
    click.echo(text.replace("\x7f", "\\u007f"), nl=False)
