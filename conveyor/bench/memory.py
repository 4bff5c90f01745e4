"""Memory by kind of process: PSS, in which what processes share is counted once."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conveyor.bench.cpu import kind_of, trees

#: Seconds between two looks. One takes milliseconds of CPU, which are told apart from the system's.
EVERY = 3.0
#: Shown, and not part of the stack's own memory.
BESIDE = "flower"


@dataclass(slots=True)
class Memory:
    """Bytes of PSS by kind at the moment when all together was most, and how many processes could not be read."""

    kinds: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)

    @property
    def stack(self) -> int:
        """Bytes of the stack without Flower."""
        return sum(size for kind, size in self.kinds.items() if kind != BESIDE)


def look(processes: Mapping[str, int]) -> Memory:
    """The memory of these processes (pids by name) and their children now. Linux only."""
    sizes: dict[str, int] = defaultdict(int)
    unread: Counter[str] = Counter()
    for name, members in trees(processes).items():
        for pid in members:
            size = _pss(pid)
            if size is None:
                unread[kind_of(name)] += 1
            else:
                sizes[kind_of(name)] += size
    return Memory(dict(sizes), dict(unread))


def _pss(pid: int) -> int | None:
    """Bytes; None where we may not look, 0 where it has ended meanwhile."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0


@contextmanager
def watched(processes: Mapping[str, int]) -> Iterator[Memory]:
    """The most memory that these processes have while this lasts; filled in as it goes."""
    most, over = Memory(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            now = look(processes)
            if now.stack >= most.stack:
                most.kinds, most.unread = now.kinds, now.unread

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()
        if not most.kinds:  # it was over before the first look
            now = look(processes)
            most.kinds, most.unread = now.kinds, now.unread
