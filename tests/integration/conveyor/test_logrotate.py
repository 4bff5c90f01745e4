"""Logs that logrotate moves away, as docs/production.md tells it to."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import PYTHON, ROOT, until

DOCUMENTED = (ROOT / "docs" / "production.md").read_text()
#: A process that writes a line whenever it is told one.
SPEAKS = """
import sys, structlog
from chassis.logs import configure_logs
from chassis.settings import Settings
configure_logs(Settings(), "sweeper")
for line in sys.stdin:
    structlog.get_logger().info(line.strip())
"""


@pytest.fixture
def logrotate() -> str:
    found = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        missing = "needs logrotate"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return found


def rotate(logrotate: str, folder: Path) -> None:
    [documented] = re.findall(r"```\n(/\S+/\*\.log \{\n.*?\n\})\n```", DOCUMENTED, re.S)
    configuration = folder.with_name("logrotate.conf")
    configuration.write_text(re.sub(r"^\S+", f"{folder}/*.log", documented) + "\n")
    configuration.chmod(0o644)
    state = folder.with_name("logrotate.state")
    subprocess.run([logrotate, "--force", "--state", state, configuration], check=True, timeout=30)


def shown(state: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")}
    environment |= {"CONVEYOR_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}
    command = [PYTHON, "-m", "conveyor", "logs", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_lines_from_before_and_after_are_found_and_the_new_file_begins_at_its_beginning(
    logrotate: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    log = state / "logs" / "sweeper.log"
    log.parent.mkdir(parents=True, mode=0o700)
    with log.open("ab") as output:
        command = [PYTHON, "-c", SPEAKS]
        speaking = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=output, text=True, cwd=ROOT, bufsize=1)
    with speaking:
        assert speaking.stdin is not None
        for number in range(3):
            speaking.stdin.write(f"round {number}\n")
            until(lambda number=number: f"round {number}" in log.read_text())  # type: ignore[misc]
            rotate(logrotate, log.parent)
            assert f"round {number}" in shown(state)
        speaking.stdin.write("the last\n")
        until(lambda: "the last" in log.read_text())
        assert log.read_text().startswith("{")
        said = shown(state, "-n", "100")
        assert said.index("round 2") < said.index("the last")
    assert speaking.returncode == 0
