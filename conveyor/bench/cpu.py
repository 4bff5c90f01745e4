"""CPU by kind of process, from /proc: what a stack's processes and everything they started have used."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: What is shown as one kind, by how the names of its processes begin.
KINDS = {"relay-": "relays", "worker-": "workers"}

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU since the machine started: of the whole ``machine``, and by kind of process."""

    machine: float
    kinds: Mapping[str, float]

    def since(self, before: "Cpu") -> "Cpu":
        """What was used between two looks; a process that has ended meanwhile counts as far as it was seen."""
        used = {kind: max(0.0, now - before.kinds.get(kind, 0.0)) for kind, now in self.kinds.items()}
        return Cpu(self.machine - before.machine, used)


def look(processes: Mapping[str, int]) -> Cpu:
    """Read the clocks of these processes (pids by name), with their children, and of the machine. Linux only."""
    everyone = dict(_processes())
    kinds: dict[str, float] = defaultdict(float)
    for name, members in _trees(processes, everyone).items():
        kinds[kind_of(name)] += sum(everyone[each][1] for each in members)
    return Cpu(_machine(), kinds)


def kind_of(name: str) -> str:
    """The kind that a process of this name is shown as."""
    return next((kind for start, kind in KINDS.items() if name.startswith(start)), name)


def trees(processes: Mapping[str, int]) -> dict[str, list[int]]:
    """Each of these processes (pids by name) and what it has started, but for what is named itself, as they are now."""
    return _trees(processes, dict(_processes()))


def _trees(processes: Mapping[str, int], everyone: Mapping[int, tuple[int, float]]) -> dict[str, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for each, (parent, _) in everyone.items():
        children[parent].append(each)
    named = set(processes.values())
    found = {name: [pid] if pid in everyone else [] for name, pid in processes.items()}
    for members in found.values():
        for each in members:  # which grows meanwhile
            members += [child for child in children[each] if child not in named]
    return found


def _processes() -> Iterator[tuple[int, tuple[int, float]]]:
    """Every process: its parent, and its CPU seconds with those of the children that it has buried."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                yield int(name), (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def _machine() -> float:
    """All that was not idle or waiting for a disk."""
    spent = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(spent[:3]) + sum(spent[5:8])) / _TICKS
