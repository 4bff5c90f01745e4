"""The ready file: how a process tells a health check, at no cost, that it is connected and at work.

A process that serves no HTTP touches it again and again while that is so. Whoever looks at the file's age need not ask
the process anything, nor start an interpreter to do so. A process that is there and does not work writes into it why,
and makes it old.
"""

import os
import time
from pathlib import Path

from chassis.settings import Settings

#: Seconds between two touches, at most. A health check should forgive several of them.
TOUCH_EVERY = 5.0
#: Seconds after which a file that nobody touches says that its process hangs.
OLD_AFTER = 4 * TOUCH_EVERY


def say_ready(settings: Settings) -> None:
    """Touch the ready file; where none is set, nobody is looking."""
    if settings.ready_file:
        ready = Path(settings.ready_file)
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.touch()
        if ready.stat().st_size:
            os.truncate(ready, 0)


def say_not_ready(settings: Settings, why: str) -> None:
    """The process lives and does not do its work: ``why`` is for people, as in "its database is away"."""
    if settings.ready_file:
        ready = Path(settings.ready_file)
        ready.parent.mkdir(parents=True, exist_ok=True)
        draft = ready.with_name(f"{ready.name}.{os.getpid()}")  # nobody sees it young
        draft.write_text(why)
        os.utime(draft, (0, 0))
        draft.replace(ready)


def why_not_ready(ready: Path) -> str | None:
    """Why the process with this ready file does not work, for people; None where it does. "starting" without a file."""
    try:
        age, why = time.time() - ready.stat().st_mtime, ready.read_text()
    except FileNotFoundError:
        return "starting"
    if why:
        return why
    if age < -OLD_AFTER:  # one that works has touched it since the clock was set back
        return "nothing heard of it since the clock was set back"
    return None if age < OLD_AFTER else f"nothing heard of it for {age:.0f} s"
