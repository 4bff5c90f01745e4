"""What the processes write: one line an event, whatever is in it."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from chassis.logs import configure_logs
from chassis.settings import Settings

ORDER = UUID("0192f0c2-1b7d-7e41-b6aa-90c4d1e2f3a4")


@pytest.fixture(autouse=True)
def _configured_as_before() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    structlog.contextvars.clear_contextvars()  # a test of a request may have left its id
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


def written(capsys: pytest.CaptureFixture[str], **facts: Any) -> str:
    """The line about an event of these facts."""
    configure_logs(Settings(), "worker-sales")
    structlog.get_logger().info("step", **facts)
    return capsys.readouterr().err


def test_a_line_is_a_json_object_with_its_process_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.loads(written(capsys, order_id=ORDER, reason=None))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "process": "worker-sales",
        "level": "info",
        "event": "step",
        "order_id": str(ORDER),
        "reason": None,
    }


@pytest.mark.parametrize("text", ["plain", "two\nlines", "Lampe à pétrole", "half of a pair: \ud800"])
def test_any_text_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str], text: str) -> None:
    line = written(capsys, reason=text, order_id=ORDER, path=Path("x"))
    assert (line.isascii(), line.count("\n")) == (True, 1)
    assert json.loads(line).items() >= {"reason": text, "order_id": str(ORDER), "path": repr(Path("x"))}.items()


@pytest.mark.parametrize("text", ["two\nlines 2026-01-01 forged", "\x1b[2J", "\u202e", "\x9b", "\u2028"])
def test_for_people_too_any_text_is_one_line_that_a_terminal_only_shows(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(log_format="console"), "worker-sales")
    structlog.get_logger().info(text, reason=text)
    logging.getLogger("library").warning("%s", text)
    written = capsys.readouterr().err
    assert written.count("\n") == 2
    assert written.replace("\n", "").isprintable()


def test_a_traceback_for_people_begins_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"), "worker-sales")
    try:
        raise ValueError("wrong\n2026-01-01T00:00:00Z [info] forged \x1b[2J")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *others = capsys.readouterr().err.rstrip("\n").split("\n")
    assert "failed" in first
    assert r"  2026-01-01T00:00:00Z [info] forged \x1b[2J" in others
    assert all(line.startswith("  ") for line in others)
