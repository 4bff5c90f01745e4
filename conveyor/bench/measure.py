"""One load of orders on one system: how many it took and ended each second, how fast, and at what cost."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conveyor.bench import cpu, memory
from conveyor.bench.answers import Answers
from conveyor.bench.load import driver
from conveyor.bench.pipeline import Ended, Orders, Pipeline
from conveyor.latency import percentiles

#: What no process of the system has used, and the clients neither.
ELSE = "everything else"


@dataclass(frozen=True, slots=True)
class Measured:
    """A load and what came of it. Milliseconds of CPU per ended order: ``cpu`` by kind of process, ``driver`` of the
    clients, ``watching`` of this process, ``machine`` of the whole machine without these two."""

    answers: Answers
    ended: Ended
    cpu: dict[str, float]
    driver: float
    watching: float
    machine: float
    memory: memory.Memory

    @property
    def post_ms(self) -> dict[str, float | None]:
        """Percentiles of the time until a request is answered, in milliseconds."""
        return percentiles([1_000 * each for each in self.answers.took])

    def document(self) -> dict[str, Any]:
        """Everything, as it goes into the JSON."""
        return {
            "posted": len(self.answers.took),
            "accepted": self.answers.accepted,
            "statuses": dict(self.ended.statuses),
            "turned_away": self.answers.turned_away,
            "errors": self.answers.errors,
            "completed_per_second": round(self.ended.per_second, 2),
            "accepted_per_second": round(self.answers.per_second, 2),
            "post_ms": self.post_ms,
            "cpu_ms_per_order": {kind: round(used, 4) for kind, used in self.cpu.items()},
            "driver_cpu_ms_per_order": round(self.driver, 4),
            "watching_cpu_ms_per_order": round(self.watching, 4),
            "machine_cpu_ms_per_order": round(self.machine, 4),
            "memory_bytes": self.memory.kinds,
            "memory_mib": round(self.memory.stack / 1_048_576, 1) or None,
            "memory_unread_processes": self.memory.unread,
            "series": {
                "accepted": each_second(self.ended.created),
                "completed": each_second(self.ended.ended),
            },
        }


def measure(
    pipeline: Pipeline, customer: str, requests: Sequence[bytes], clients: int, label: str = "orders"
) -> Measured:
    """Send these orders of this customer, wait until each has ended, and look at what it took. Raises LoadFailed."""
    processes = pipeline.processes()
    with (
        Orders(pipeline.database) as orders,
        driver(pipeline.url, requests, clients, label) as ready,
        memory.watched(processes) as most,
    ):
        own, before, began = time.process_time(), cpu.look(processes), orders.clock()
        answers = ready.run()
        orders.wait(customer, began)
        used, own = cpu.look(processes).since(before), time.process_time() - own
        ended = orders.of(customer, began)
    each = 1_000 / max(len(ended.ended), 1)
    machine = used.machine - answers.cpu - own
    kinds = dict(used.kinds) | {ELSE: machine - sum(used.kinds.values())}
    per_order = {kind: each * seconds for kind, seconds in kinds.items()}
    return Measured(answers, ended, per_order, each * answers.cpu, each * own, each * machine, most)


def each_second(moments: Sequence[float]) -> list[int]:
    """How many of these moments fall into each second from 0 on."""
    counted = Counter(int(each) for each in moments)
    return [counted[second] for second in range(max(counted, default=-1) + 1)]
