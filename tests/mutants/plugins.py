"""What pytest is told in a mutation run: to note which test comes by which line, where it is, and to keep nothing."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Undisturbed:
    """Examples that Hypothesis has found for one mutant are none for the next."""

    def pytest_configure(self) -> None:
        from hypothesis import settings

        settings.register_profile("mutants", database=None)
        settings.load_profile("mutants")


class Where:
    """Notes in a file which test is under way: the last one is the one at which the process ended."""

    def __init__(self, at: Path) -> None:
        self._at = at

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._at.write_text(nodeid)


class Watcher:
    """Notes the lines of some files that each test comes by, in whatever thread, and how long it takes."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self._now: dict[str, set[int]] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now = {module: set() for module in self._files.values()}
        began = time.monotonic()
        if self._files:
            sys.settrace(self._called)
            threading.settrace(self._called)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.seconds[item.nodeid] = time.monotonic() - began
            self.lines[item.nodeid] = {module: sorted(lines) for module, lines in self._now.items() if lines}

    def _called(self, frame: Any, _event: str, _arg: object) -> Any:
        module = self._files.get(frame.f_code.co_filename)
        if module is None:
            return None
        lines = self._now[module]

        def line(frame: Any, _event: str, _arg: object) -> Any:
            lines.add(frame.f_lineno)
            return line

        lines.add(frame.f_lineno)
        return line
