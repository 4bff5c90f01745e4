"""Numbers typed at the command line, which are written as everywhere."""

from typing import Any

import click
import pytest

from conveyor.cli import cli
from conveyor.ranges import NumberRange, WholeRange
from conveyor.shop.naming import Item, Price

#: Numbers to Python, and not to us.
ODD = ["1_0", " 5", "5 ", "+5", "05", "\u0665", "\uff15", "1e1", "0x5", "nan", "inf", ""]


@pytest.mark.parametrize("kind", [WholeRange(0, 100), NumberRange(0, 100)])
@pytest.mark.parametrize("text", [*ODD, "101", "-1"])
def test_an_option_takes_no_number_that_is_written_oddly_or_out_of_bounds(kind: Any, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [(WholeRange(0, 100), "100", 100), (NumberRange(0), "0.5", 0.5), (WholeRange(-5), "-5", -5), (WholeRange(0), 7, 7)],
)
def test_an_option_takes_a_number_between_its_bounds(kind: Any, text: Any, number: float) -> None:
    assert kind.convert(text, None, None) == number


@pytest.mark.parametrize("odd", ODD)
def test_a_line_and_a_price_of_an_order_are_written_alike(odd: str) -> None:
    for kind in (Item(), Price()):
        with pytest.raises(click.BadParameter):
            kind.convert(f"MUG={odd}", None, None)
    assert (Item().convert("A=B=2", None, None), Price().convert("A=9.8", None, None)[1]) == (
        ("A=B", 2),
        "9.8",
    )


def every_command(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    context = click.Context(command)
    below = [command.get_command(context, name) for name in command.list_commands(context)]
    return [command, *(each for inner in below if inner for each in every_command(inner))]


def test_no_option_takes_numbers_as_python_reads_them() -> None:
    kinds = {type(each.type) for command in every_command(cli) for each in command.params}
    assert WholeRange in kinds
    assert not kinds & {click.IntRange, click.FloatRange, type(click.INT), type(click.FLOAT)}
