"""Every command says what it does, in plain text, with an example."""

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from conveyor.cli import GROUPS, MODULES, cli


def commands(group: click.Group, path: str = "conveyor") -> Iterator[tuple[str, click.Command]]:
    """Each command and group with the words that call it."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


ALL = dict(commands(cli))


def help_of(words: str) -> str:
    return ALL[words].get_help(click.Context(ALL[words], info_name=words, max_content_width=100))


@pytest.mark.parametrize("words", ALL)
def test_the_help_shows_how_the_command_is_called(words: str) -> None:
    example = re.search(rf"^ +(?:\$ |[A-Z_]+=\S+ |watch -n 2 )*{words}\b", help_of(words), re.M)
    assert example or f"make {words.split()[-1]}" in help_of(words), help_of(words)


@pytest.mark.parametrize("words", ALL)
def test_the_help_begins_with_a_sentence_and_fits_a_terminal(words: str) -> None:
    text = ALL[words].help or ""
    assert re.match(r"[A-Z].*?[.:]", text.strip(), re.S), text
    assert [line for line in help_of(words).splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("words", [words for words in ALL if words.count(" ") > 1])
def test_what_a_group_says_of_a_command_fits_its_line(words: str) -> None:
    assert not ALL[words].get_short_help_str(64).endswith("...")


@pytest.mark.parametrize("words", ALL)
def test_every_option_says_what_it_is_for(words: str) -> None:
    silent = [each.name for each in ALL[words].params if isinstance(each, click.Option) and not each.help]
    assert silent == []


def test_the_list_of_commands_says_what_each_is_for() -> None:
    text = cli.get_help(click.Context(cli, info_name="conveyor"))
    for title, group in GROUPS.items():
        assert f"{title}:" in text
        for name, _, about in group:
            assert re.search(rf"^  {name} +{re.escape(about)}$", text, re.M)
    assert len(MODULES) == sum(map(len, GROUPS.values()))


#: Texts that may be empty: what customers read of a product may go away, and these say themselves what they take.
MAY_BE_EMPTY = {("add", "description"), ("change", "description"), ("logs", "names"), ("bench", "names")}
MAY_BE_EMPTY |= {("bench", "second"), ("migrate", "to")}


@pytest.mark.parametrize("words", ALL)
def test_a_name_or_a_reason_is_not_blank(words: str) -> None:
    texts = [each for each in ALL[words].params if each.type is click.STRING]
    assert [each.name for each in texts if (words.split()[-1], each.name) not in MAY_BE_EMPTY] == []


@pytest.mark.parametrize(
    "line",
    [
        "reconcile --actor", "quarantine replay --all --actor", "order resume ID --actor", "order resume ID --reason",
        "order compensate ID --reason", "orphan keep ID --reason", "orphan give-up ID --reason",
        "order place --customer",
        "order list --customer", "order list --after", "customer add --name", "worker sales --queues",
        "worker sales --name", "replay book.csv --run", "delivery move ID DELIVERED --location",
    ],
)  # fmt: skip
@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_text_is_refused_with_the_option_named(line: str, blank: str) -> None:
    arguments = line.replace("ID", "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10").split()
    result = CliRunner().invoke(cli, [*arguments, blank])
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[-1]}': must not be blank." in result.output


def test_a_user_without_a_name_is_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    actor = next(each for each in ALL["conveyor reconcile"].params if each.name == "actor")
    assert actor.get_default(click.Context(ALL["conveyor reconcile"])) == "operator"
