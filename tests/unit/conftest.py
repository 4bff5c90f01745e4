"""Unit tests see no setting of anybody's: neither the user's, nor those of other tests' servers."""

import os
from collections.abc import Iterator

import pytest

from chassis.settings import settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [each for each in os.environ if each.startswith("CONVEYOR_")]:
        monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()
