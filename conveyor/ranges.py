"""Numbers as options of the command line, in the one way of writing: click's own take ``1_000``, and more."""

from typing import Any

import click

from chassis.notation import decimal, whole


class WholeRange(click.IntRange):
    """A whole number between two bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails the command where it is none."""
        return int(super().convert(written(self, whole, value, param, ctx), param, ctx))


class NumberRange(click.FloatRange):
    """A number between two bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Fails the command where it is none."""
        return float(super().convert(written(self, decimal, value, param, ctx), param, ctx))


def written(
    kind: click.ParamType[Any], read: Any, value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> Any:
    """A value as somebody typed it, read; a default is what it is."""
    if not isinstance(value, str):
        return value
    try:
        return read(value)
    except ValueError:
        return kind.fail(f"{value!r} is not a valid {kind.name.removesuffix(' range')}.", param, ctx)
