"""How long a test may take, its fixtures included: a limit for each folder, and a ceiling that nothing gets past.

A test over its limit fails, and what its fixtures have started is stopped (pytest-timeout, by a signal). A test that
sits in C code does not see the signal: after the ceiling of setup.cfg (``faulthandler_timeout``) the process says where
each of its threads is, and ends.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

#: Seconds for a test of this folder. Many times what it takes on an idle machine: a limit ends what hangs.
LIMITS = {
    "unit": 60,
    "contract": 60,
    "architecture": 180,
    "integration": 180,
    "attacks": 300,
    "browser": 300,
    "controls": 300,
    "crashpoints": 300,
    "docker": 600,
    "e2e": 600,
    "endurance": 3600,
    "fresh": 300,
    "outages": 180,
}


def folder_of(path: Path) -> str:
    """The folder of ``tests/`` that this file is in."""
    return path.relative_to(TESTS).parts[0]


def limit(item: pytest.Item) -> None:
    """Give the test the limit of its folder, where it has none of its own. Raises UsageError for an unknown folder."""
    folder = folder_of(item.path)
    if folder not in LIMITS:
        raise pytest.UsageError(f"tests/{folder} has no time limit: name one in tests/time_limits.py")
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(LIMITS[folder]))
