"""Structured logs: one line an event, JSON for machines or coloured for people; of crashes and warnings too.

What is bound with ``structlog.contextvars`` (correlation id, order) is on every line until it is cleared.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from chassis import output
from chassis.json_text import write_json
from chassis.printable import printable
from chassis.settings import Settings


def configure_logs(settings: Settings, process: str) -> None:
    """Send all logs of this process, our own and the libraries', to standard error in one format.

    A line that cannot be written is lost, and raises nothing.
    """
    output.never_raise()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _name, event: {"process": process, **event},
    ]
    people = settings.log_format == "console"
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_indented_traceback)
        if people
        else structlog.processors.JSONRenderer(_json)
    )
    errors: list[structlog.types.Processor] = [_in_one_line] if people else [structlog.processors.format_exc_info]
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, *errors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    output.report_losses(lambda count: _line(settings, process, "log_lines_lost", "warning", count=count))
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    for noisy in ("celery.worker.strategy", "celery.app.trace", "kombu", "amqp", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))


def are_configured() -> bool:
    """Whether what this process says goes to its logs."""
    return sys.excepthook is _crashed


def say_at_once(settings: Settings, process: str, words: str) -> None:
    """A line for the handler of a signal, which may have interrupted whoever is writing one."""
    sys.stderr.write(f"{_line(settings, process, words)}\n")


def _line(settings: Settings, process: str, event: str, level: str = "info", **facts: Any) -> str:
    """A line that is made without the loggers, which may be in the middle of another."""
    if settings.log_format == "console":
        return printable(" ".join([event, *(f"{name}={value}" for name, value in facts.items())]))
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _json({"process": process, "event": event, "level": level, "timestamp": now, **facts}, str)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger().critical("crashed", exc_info=(kind, error, trace))


def _thread_crashed(told: threading.ExceptHookArgs) -> None:
    error = (told.exc_type, told.exc_value, told.exc_traceback)
    structlog.get_logger().critical("crashed", thread=told.thread and told.thread.name, exc_info=error)


def _in_one_line(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Text in an event may come from anybody: it begins no line of its own, and moves no cursor."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _indented_traceback(file: TextIO, exc_info: structlog.types.ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    file.write("\n".join(f"  {printable(line)}" for line in text.getvalue().split("\n")))


def _json(event: dict[str, Any], default: Callable[[Any], Any]) -> str:
    """A line in ASCII, which every terminal and file can hold."""
    line = write_json(event, default)
    if not line.isascii():
        line = json.dumps(msgspec.to_builtins(event, enc_hook=default)).encode()
    return line.decode()
