"""``conveyor replay`` against a gateway in this process."""

import pytest
from click.testing import CliRunner, Result

from chassis.settings import settings
from conveyor.replay.command import replay
from tests.unit.conveyor.workbooks import ods, xlsx

__all__ = ["ods", "run", "xlsx"]


@pytest.fixture
def run(gateway, monkeypatch: pytest.MonkeyPatch):
    """`conveyor replay` with these arguments."""
    monkeypatch.setenv("CONVEYOR_GATEWAY_URL", gateway.url)
    settings.cache_clear()

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(replay, [str(each) for each in arguments])

    yield invoke
    settings.cache_clear()
