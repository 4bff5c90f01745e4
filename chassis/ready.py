"""The ready file: how a process tells a health check, at no cost, that it is connected and at work.

A process that serves no HTTP touches it again and again while that is so. Whoever looks at the file's age need not ask
the process anything, nor start an interpreter to do so.
"""

from pathlib import Path

from chassis.settings import Settings

#: Seconds between two touches, at most. A health check should forgive several of them.
TOUCH_EVERY = 5.0


def say_ready(settings: Settings) -> None:
    """Touch the ready file; where none is set, nobody is looking."""
    if settings.ready_file:
        ready = Path(settings.ready_file)
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.touch()
