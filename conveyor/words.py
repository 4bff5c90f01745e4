"""Options that take words: a name, a reason, whoever does it. Blank ones are refused, since they say nothing."""

import getpass
from typing import Any

import click


class Words(click.ParamType[str]):
    """A text with at least one character that is no blank."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was typed. Fails the command where it is blank."""
        if not str(value).strip():
            self.fail("must not be blank.", param, ctx)
        return str(value)


def _login() -> str:
    """Whoever is logged in; a container may run under a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


Actor = click.option(
    "--actor", type=Words(), default=_login, show_default="your user name", help="Who does this, for the record."
)
