"""docs/limits.md names settings that exist, with their defaults, and files that exist."""

import re
from dataclasses import fields
from pathlib import Path

from chassis.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "|---" not in line]
DEFAULTS = {PREFIX + each.name.upper(): each.default for each in fields(Settings)}


def test_every_setting_of_the_limits_page_is_one() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", PAGE))
    assert len(named) >= 8
    assert named <= DEFAULTS.keys()


def test_every_row_tells_the_default_of_its_setting() -> None:
    for row in ROWS:
        told = row.replace(",", "").replace("1 MiB", "1048576").replace("64 KiB", "65536")
        for name in re.findall(rf"{PREFIX}[A-Z_]+", row):
            assert re.search(rf"\b{DEFAULTS[name]:.0f}\b", told), f"{name} is {DEFAULTS[name]}: {row}"


def test_every_file_of_the_limits_page_is_there() -> None:
    files = re.findall(r"`([a-z_/]+\.py)`", PAGE)
    assert files
    for each in files:
        assert (ROOT / each).is_file(), each
