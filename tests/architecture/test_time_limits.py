"""No test without a time limit, whichever folder it is in, and the limit acts."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import time_limits
from tests.time_limits import LIMITS, TESTS

ROOT = TESTS.parent
#: The Makefile raises it for these.
CEILINGS = {"endurance": 4200}
#: What is installed for the tests of this folder alone; without it they cannot even be collected.
NEEDS = {"browser": "playwright"}
#: A module in which pytest finds a test: a function, a class, or another name for one.
_TEST = re.compile(r"^(?:def test_|class Test|test_\w+ = |Test\w+ = )", re.MULTILINE)

#: What every folder's tests are allowed to take, by pytest's own account of what it has collected.
_SEEN = """
def pytest_collection_finish(session):
    for item in session.items:
        print("LIMIT", item.path, *(each.args[0] for each in item.iter_markers("timeout")))
"""


def pytest_of(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest with the project's settings, in a process of its own that is loaded with what is in the folder."""
    command = [sys.executable, "-m", "pytest", f"--config-file={ROOT / 'setup.cfg'}", f"--rootdir={ROOT}",
               "-p", "no:cacheprovider", *arguments]  # fmt: skip
    environment = {"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)


def test_every_folder_of_tests_has_a_limit_below_the_ceiling(pytestconfig: pytest.Config) -> None:
    folders = {each.relative_to(TESTS).parts[0] for each in TESTS.rglob("*.py") if _defines_tests(each)}
    assert folders <= set(LIMITS)
    usual = float(pytestconfig.getini("faulthandler_timeout"))
    assert all(seconds < CEILINGS.get(folder, usual) for folder, seconds in LIMITS.items())
    assert pytestconfig.getini("faulthandler_exit_on_timeout") is True


def test_every_test_that_there_is_has_a_limit_below_the_ceiling(tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(_SEEN)
    files = [str(each) for each in sorted(TESTS.rglob("*.py")) if _defines_tests(each) and _can_be_collected(each)]

    answer = pytest_of(tmp_path, "-p", "seen", "--collect-only", "-q", "-s", *files)

    lines = [each.split() for each in answer.stdout.splitlines() if each.startswith("LIMIT ")]
    assert len(lines) > 1_000, answer.stdout[-2000:] + answer.stderr[-2000:]
    assert {each[1] for each in lines} == set(files)
    for _, path, *limits in lines:
        assert limits, path
        folder = Path(path).relative_to(TESTS).parts[0]
        assert 0 < float(limits[0]) < CEILINGS.get(folder, 1200), path


@pytest.mark.parametrize("hangs", ["time.sleep(60)", "threading.Event().wait()", "subprocess.run(['sleep', '60'])"])
def test_a_test_that_hangs_fails_at_its_limit_and_its_fixtures_are_taken_down(tmp_path: Path, hangs: str) -> None:
    test = tmp_path / "test_hangs.py"
    test.write_text(
        "import pytest, subprocess, threading, time\n"
        "@pytest.fixture\ndef server():\n    yield\n    print('taken down')\n"
        f"def test_hangs(server):\n    {hangs}\n"
        "def test_behind_it(server):\n    pass\n"
    )

    answer = pytest_of(tmp_path, "-q", "-s", "-o", "timeout=0.5", str(test))

    assert "Failed: Timeout (>0.5s) from pytest-timeout" in answer.stdout
    assert "1 failed, 1 passed" in answer.stdout
    assert answer.stdout.count("taken down") == 2


def test_what_does_not_see_its_limit_is_ended_at_the_ceiling(tmp_path: Path) -> None:
    test = tmp_path / "test_deaf.py"
    deaf = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})"  # as C code that does not come back
    test.write_text(f"import signal, time\ndef test_deaf():\n    {deaf}\n    time.sleep(60)\n")

    answer = pytest_of(tmp_path, "-q", "-o", "timeout=0.5", "-o", "faulthandler_timeout=1.5", str(test))

    assert answer.returncode == 1
    assert "Timeout (0:00:01.5" in answer.stderr
    assert "test_deaf.py" in answer.stderr


def test_a_folder_without_a_limit_is_no_place_for_a_test(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.delitem(time_limits.LIMITS, "architecture")
    with pytest.raises(pytest.UsageError, match="tests/architecture has no time limit"):
        time_limits.limit(request.node)


def _defines_tests(path: Path) -> bool:
    return path.parent != TESTS and _TEST.search(path.read_text()) is not None


def _can_be_collected(path: Path) -> bool:
    needed = NEEDS.get(path.relative_to(TESTS).parts[0])
    return needed is None or find_spec(needed) is not None
