"""Standard output and standard error on which nothing raises.

The disk of a log may be full, and the reader of a pipe may have gone. A line that cannot be written is dropped then: it
must not undo the work that it tells of, whoever writes it, Celery, uvicorn and the interpreter itself included.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any

#: A line about so many writes that were lost, for whoever reads the log after them.
Report = Callable[[int], str]


class _Unfailing(io.RawIOBase):
    """A file descriptor that takes everything. Nothing is buffered and nothing locked, so that signals, forks and
    threads may write at any moment."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        #: Why the last line that was lost could not be written.
        self.error: OSError | None = None
        self.report: Report | None = None
        self._lost = 0
        self._torn = False

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, written: Any) -> int:
        """All of it, or as much as there is room for. Never raises OSError."""
        content, lost = bytes(written), self._lost
        if self._write(self._before(lost) + content):
            self._lost -= lost
        else:
            self._lost += 1
        return len(content)

    def _before(self, lost: int) -> bytes:
        """What comes first once there is room again: the end of a line that was cut off, and how many were lost."""
        if not lost:
            return b""
        said = f"{self.report(lost)}\n".encode() if self.report else b""
        return (b"\n" if self._torn else b"") + said

    def _write(self, content: bytes) -> bool:
        left = memoryview(content)
        while left:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:  # whoever shares this pipe or terminal has asked for that
                select.select([], [self._number], [])
            except OSError as error:
                self.error = error
                self._torn = len(left) < len(content) or self._torn
                return False
        self._torn = False
        return True


def never_raise() -> None:
    """From now on nothing that this process writes to its standard output or standard error raises."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if _number(stream) not in (1, 2) or isinstance(stream.buffer, _Unfailing):
            continue  # closed, or a test reads it
        unfailing: Any = _Unfailing(stream.fileno())
        text = io.TextIOWrapper(unfailing, stream.encoding, stream.errors, write_through=True)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def report_losses(report: Report) -> None:
    """Have standard error say how many lines were lost, once it takes lines again."""
    raw = getattr(sys.stderr, "buffer", None)
    if isinstance(raw, _Unfailing):
        raw.report = report


def reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more: what is endless may end then."""
    lost = lost_output()
    return lost is not None and lost.errno == errno.EPIPE


def lost_output() -> OSError | None:
    """Why something of standard output was lost, None where nothing was."""
    raw = getattr(sys.stdout, "buffer", None)
    return raw.error if isinstance(raw, _Unfailing) else None


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None
