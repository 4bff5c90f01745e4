"""What a command that destroys asks before it does."""

import click

from chassis.errors import ConveyorError

Yes = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


class NotMeant(ConveyorError):
    """Nobody said that it is meant; nothing was done."""


def require_consent(what: str, name: str, yes: bool) -> None:
    """Have the name of what is destroyed typed, unless ``--yes`` was said. Raises NotMeant.

    ``what`` is a sentence that says what is lost, without its full stop.
    """
    if yes:
        return
    try:
        typed = click.prompt(f"{what}. Type {name} to go on", default="", show_default=False, err=True)
    except click.Abort:
        raise NotMeant(f"{what}: nothing was done. Where nobody can be asked, --yes says that it is meant") from None
    if typed.strip() != name:
        raise NotMeant(f"that is not {name}: nothing was done")
