"""Options by which an operator says what a file means."""

from typing import Any

import click

from conveyor.tables.encodings import codec
from conveyor.tables.numbers import COMMA, POINT


class Codec(click.ParamType[str]):
    """An encoding that Python knows."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Its name, as Python spells it. Fails the command where it is none."""
        try:
            return codec(str(value))
        except LookupError:
            self.fail(f"{value!r} is no encoding of texts, as cp1252, iso8859-2 and cp932 are.", param, ctx)


DryRun = click.option(
    "--dry-run", is_flag=True, help="Say what is in the file and what is decided about it; send nothing."
)
Encoding = click.option(
    "--encoding", type=Codec(), metavar="NAME", help="The file's encoding.  [default: UTF-8, or its mark]"
)
Decimal = click.option(
    "--decimal", type=click.Choice([POINT, COMMA]), help="The decimal sign.  [default: found from all numbers]"
)
