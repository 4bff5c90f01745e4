"""docs/migrating.md: every file on it is an order book, every command on it prints what stands there."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from conveyor.cli import cli
from conveyor.replay.formats import FORMATS

PAGE = (Path(__file__).parents[4] / "docs" / "migrating.md").read_text()
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(
    r"^```console\n\$ conveyor (replay \S+ --dry-run[^\n]*)\n(  .*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
#: Of a catalogue, by the arguments of the command.
CATALOGUES = re.findall(
    r"^```console\n\$ conveyor (catalogue load \S+ --dry-run[^\n]*)\n(  .*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that has the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(tmp_path / "none"))
    return tmp_path


def test_every_known_format_has_an_example_and_every_file_is_used() -> None:
    shown = {
        line.split()[1].rstrip(",") for _, output in EXAMPLES for line in output.splitlines() if "  format" in line
    }
    assert set(FORMATS) <= shown
    catalogues = {command.split()[2] for command, _ in CATALOGUES}
    assert {command.split()[1] for command, _ in EXAMPLES} | catalogues == FILES.keys()
    assert catalogues


@pytest.mark.parametrize(("command", "output"), CATALOGUES, ids=[command.split()[2] for command, _ in CATALOGUES])
def test_a_catalogue_prints_what_the_page_shows(files: Path, command: str, output: str) -> None:
    result = CliRunner().invoke(cli, shlex.split(command))
    assert (result.output, result.exit_code) == (output, 1)  # some rows are none


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command.split()[1] for command, _ in EXAMPLES])
def test_an_example_prints_what_the_page_shows(files: Path, command: str, output: str) -> None:
    result = CliRunner().invoke(cli, shlex.split(command))
    assert result.output == output
    assert result.exit_code == 0


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command.split()[1] for command, _ in EXAMPLES])
def test_an_example_that_is_sent_makes_these_orders(gateway, run, files: Path, command: str, output: str) -> None:
    arguments = [each for each in shlex.split(command)[1:] if each != "--dry-run"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    skus = {each["id"]: each["sku"] for each in gateway.products.values()}
    prices = {each["sku"]: each["price"] for each in gateway.products.values()}
    sent = [
        ", ".join(
            f"{item['quantity']} x {skus[item['product_id']]} at {prices[skus[item['product_id']]]}"
            for item in order["items"]
        )
        for order in gateway.orders.values()
    ]
    assert sorted(sent) == sorted(line.split(": ", 1)[1] for line in output.splitlines() if line.startswith("  order "))
