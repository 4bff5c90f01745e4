"""README and docs as written: each command, target, link, setting and test that they speak of is really there."""

import csv
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from chassis.settings import PREFIX, Settings
from conveyor.cli import cli
from sales.timeline import Kind

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

#: In running text, a span of code that begins with `conveyor`; in a block, a line with a prompt.
_SPAN = re.compile(r"`(?:\.venv/bin/)?conveyor (.+?)`", re.DOTALL)
_PROMPT = re.compile(r"^\$ (.+)$", re.MULTILINE)
_IN_COMMAND = re.compile(r"(?:^|[(|;&]\s*|\.venv/bin/)conveyor ([^)|;&]+)")
_TARGET = re.compile(r"\bmake ([a-z]+)\b")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_ITEM = re.compile(r"--(?:item|price) ([A-Z][A-Z0-9-]+)=")
_TEST = re.compile(r"\[`(test_\w+)`\]\(([^)\s]+)\)")


def code(page: Path) -> str:
    """All code of a page: its blocks' commands and its spans."""
    text = page.read_text()
    return "\n".join([*_PROMPT.findall(text), *re.findall(r"`([^`\n]+)`", text)])


def commands(page: Path) -> Iterator[str]:
    """What stands behind ``conveyor`` wherever a page uses it."""
    text = page.read_text()
    for line in _PROMPT.findall(text):
        yield from (found.strip() for found in _IN_COMMAND.findall(line))
    yield from (" ".join(found.split()) for found in _SPAN.findall(text))


def resolved(arguments: list[str]) -> tuple[click.Command, list[str], list[str]]:
    """The command that these words lead to, the words that named it, and the words that are left."""
    found: click.Command = cli
    path: list[str] = []
    while isinstance(found, click.Group) and arguments and not arguments[0].startswith("-"):
        inner = found.get_command(click.Context(found), arguments[0])
        assert inner is not None, f"conveyor {' '.join([*path, arguments[0]])} is no command"
        found, path, arguments = inner, [*path, arguments[0]], arguments[1:]
    return found, path, arguments


USED = sorted({(page.name, command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize(("page", "command"), USED)
def test_a_command_that_a_page_shows_exists_with_its_options(page: str, command: str) -> None:
    # A pipe ends the command; [exit codes], redirections and ... are no words of it.
    found, path, rest = resolved(shlex.split(re.split(r"[|>&]", command)[0]))
    known = {option for each in found.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - known
    assert not unknown, f"{page}: conveyor {command}"
    answer = CliRunner().invoke(cli, [*path, "--help"])
    assert answer.exit_code == 0, answer.output


def test_commands_are_found_in_text_in_blocks_and_behind_one_another() -> None:
    found = {command.split()[0] for page, command in USED if page == "README.md"}
    assert {"order", "status", "replay", "reconcile", "worker", "logs"} <= found


def test_every_product_in_an_example_is_one_of_the_sample_catalogue() -> None:
    with (ROOT / "conveyor/samples/catalogue.csv").open() as file:
        known = {row["sku"] for row in csv.DictReader(file)}
    named = set(_ITEM.findall(README.read_text() + "".join(help_of(cli, ["conveyor"]))))
    assert named
    assert named <= known


def help_of(command: click.Command, path: list[str]) -> Iterator[str]:
    """The help of a command and of all below it."""
    context = click.Context(command, info_name=path[-1])
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from help_of(command.get_command(context, name) or cli, [*path, name])


def test_every_container_that_is_scaled_is_in_the_compose_file() -> None:
    scaled = set(re.findall(r"--scale ([\w-]+)=", README.read_text()))
    assert scaled
    assert scaled <= set(YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"])


def test_a_command_in_a_container_works_without_a_terminal_too() -> None:
    """docker-compose 1.29 refuses one in a script or a cron job, unless it is told that there is none."""
    printed = re.findall(r"docker-compose exec (\S+)", (ROOT / "docs/production.md").read_text())
    assert len(printed) >= 5
    assert set(printed) == {"-T"}


def test_each_make_target_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in _TARGET.findall(code(page))}
    assert {"run", "test"} <= named <= known


def test_the_readme_names_every_make_target_that_a_user_needs() -> None:
    assert {"run", "test", "reset", "latency", "lint"} <= set(_TARGET.findall(code(README)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not heading or heading in headings(target), link


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_said_to_prove_something_exists(page: Path) -> None:
    for name, file in _TEST.findall(page.read_text()):
        assert re.search(rf"def {name}\(", (page.parent / file).read_text()), f"{file} has no {name}"


def test_each_promise_of_the_docs_has_a_test() -> None:
    table = (ROOT / "docs/how-it-works.md").read_text().partition("| promise |")[2].partition("\n\n")[0]
    promises = table.splitlines()[2:]
    assert len(promises) >= 9
    for row in promises:
        assert _TEST.search(row), row


def test_each_control_is_in_the_table_of_guards_with_a_word_that_chooses_it_alone() -> None:
    rows = (ROOT / "docs/crash-safety.md").read_text().partition("| guard |")[2].partition("\n\n")[0].splitlines()[2:]
    shown = {name: row.split("`")[-2] for row in rows for name, _ in _TEST.findall(row)}
    files = (ROOT / "tests/controls").glob("test_*.py")
    known = [name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)]
    assert len(rows) == len(shown) >= 10
    for name in known:
        assert shown.keys() & {name}, f"{name} is not in the table"
        assert [each for each in known if shown[name] in each] == [name], shown[name]


def row_of(setting: str) -> str:
    """A setting as the README has it."""
    each = next(each for each in fields(Settings) if each.name == setting)
    default = "-" if each.default == "" else f"`{each.default}`"
    return f"| `{PREFIX}{setting.upper()}` | {default} | {each.metadata['doc']} |"


def test_the_configuration_table_is_the_settings_with_their_defaults_in_their_order() -> None:
    table = README.read_text().partition("| variable | default | meaning |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [row_of(each.name) for each in fields(Settings)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_speaks_of_a_variable_that_nothing_reads(page: Path) -> None:
    known = {PREFIX + each.name.upper() for each in fields(Settings)}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", page.read_text())) <= known


def test_a_newcomer_reads_it_in_five_minutes() -> None:
    before_the_settings = README.read_text().partition("| variable |")[0]
    assert len(before_the_settings.splitlines()) <= 230


def test_the_page_on_how_it_works_has_each_kind_of_event_by_its_one_name() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    table = page.partition("## The timeline")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.value for each in Kind]
