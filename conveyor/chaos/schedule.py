"""What is done to the stack, to whom and when: a pure function of the seed and the length of the run.

Every kind of torment has a mean distance, and the run is cut into as many parts as fit: one action somewhere in each.
So a run of a minute has some of everything, and chance decides when. Ten minutes have more than a hundred kills.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from celeryconfig import QUEUE_OF_TASK
from conveyor import SERVICES
from conveyor.children import copies


class Kind(StrEnum):
    """What can be done."""

    KILL = "kill"  # SIGKILL to a process of ours
    PAUSE = "pause"  # SIGSTOP, later SIGCONT, to a process of ours or a server
    CRASH = "crash"  # SIGKILL to a server, which the supervisor starts again
    STOP = "stop"  # its own way of ending, then started again
    FLUSH = "flush"  # FLUSHALL
    CAP = "cap"  # a policy that lets a queue hold next to nothing
    DUPLICATE = "duplicate"  # the newest messages once more
    STALE = "stale"  # old messages once more, in any order


#: Restarts of a server: the next one needs it to be well.
RESTARTS = (Kind.CRASH, Kind.STOP)
#: What only RabbitMQ can do.
NEEDS_RABBITMQ = frozenset({Kind.CAP})

#: Who is killed or paused, and how often compared to the others, beside each worker and each relay. ``.child`` is what
#: serves behind a web process's master: all of its processes.
ONE_OF_EACH = {
    **dict.fromkeys(SERVICES, 1),
    **{f"{each}.child": 1 for each in SERVICES},
    "gateway": 2,
    "gateway.child": 2,
    "sweeper": 2,
    "quarantine": 2,
}
EVERY_WORKER, EVERY_RELAY = 4, 3
#: Servers that are paused too. SIGSTOP of PostgreSQL's first process stops none of its others: it would show nothing.
PAUSABLE = {"broker": 2, "valkey": 3}

#: Seconds from one action of a kind to the next, on average.
EVERY = {
    (Kind.KILL, ""): 4.5,
    (Kind.PAUSE, ""): 15.0,
    (Kind.CRASH, "broker"): 150.0,
    (Kind.STOP, "broker"): 200.0,
    (Kind.CRASH, "postgres"): 90.0,
    (Kind.STOP, "postgres"): 150.0,
    (Kind.CRASH, "valkey"): 75.0,
    (Kind.STOP, "valkey"): 100.0,
    (Kind.FLUSH, "valkey"): 30.0,
    (Kind.CAP, ""): 50.0,
    (Kind.DUPLICATE, ""): 12.0,
    (Kind.STALE, ""): 15.0,
}
#: In a run of a minute a broker that is started again takes a third of it: once is enough.
SHORT = 120.0
ONCE = (Kind.STOP, "broker")

#: Seconds at the beginning in which nothing is done: a few orders go through a whole stack, and the tap has heard them.
HEAD_START = 3.0
CAPPED_FOR = 20.0
#: A pause is short, or, once in a while, longer than requests and transactions may take.
SHORT_PAUSE, LONG_PAUSE = (0.5, 8.0), (25.0, 45.0)
LONG_PAUSES = 0.15
MESSAGES = (10, 50)
#: Every so many seconds a crowd of customers comes, and half of the kills come within two seconds of one: there is work
#: in everybody's hands then.
CROWD_EVERY = 10.0
IN_THE_CROWD, CROWD_LASTS = 0.5, 2.0


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """One torment: ``at`` seconds after the first order. ``lasts`` in seconds; ``number`` of messages, or a queue's
    length."""

    at: float
    kind: Kind
    target: str
    lasts: float = 0.0
    number: int = 0

    def __str__(self) -> str:
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        number = f" ({self.number} messages)" if self.number else ""
        return f"{self.at:7.1f} s  {self.kind:<9} {self.target}{lasts}{number}"


def processes(workers: int, relays: int) -> dict[str, int]:
    """Who is killed or paused in a stack with so many workers of each service and relays of each database."""
    return {
        **{name: EVERY_WORKER for each in SERVICES for name in copies(f"worker-{each}", workers)},
        **{name: EVERY_RELAY for each in SERVICES for name in copies(f"relay-{each}", relays)},
        **ONE_OF_EACH,
    }


def schedule(seed: int, seconds: float, *, workers: int = 1, relays: int = 1, rabbitmq: bool = True) -> list[Action]:
    """All actions of a run in the order of their time. The same seed, length and processes make the same schedule.

    Without RabbitMQ what only it can do is left out, and all else stays as it is with it.
    """
    actions, killed = [], processes(workers, relays)
    for (kind, target), every in EVERY.items():
        if (kind, target) == ONCE and seconds < SHORT:
            continue
        chance = random.Random(f"{seed}/{kind}/{target}")
        for at in _moments(chance, seconds, every):
            action = _action(chance, at, kind, target, seconds, killed)
            if rabbitmq or kind not in NEEDS_RABBITMQ:
                actions.append(action)
    return sorted(actions)


def _moments(chance: random.Random, seconds: float, every: float) -> Iterator[float]:
    length = seconds - HEAD_START
    count = max(1, round(length / every))
    for part in range(count):
        yield round(HEAD_START + (part + chance.random()) * length / count, 2)


def _action(
    chance: random.Random, at: float, kind: Kind, target: str, seconds: float, killed: dict[str, int]
) -> Action:
    if kind == Kind.KILL:
        target, crowded = _one_of(chance, killed), chance.random() < IN_THE_CROWD
        crowd = at - at % CROWD_EVERY + chance.uniform(0, CROWD_LASTS)
        return Action(round(crowd, 2) if crowded and HEAD_START < crowd < seconds else at, kind, target)
    if kind == Kind.PAUSE:
        long = chance.random() < LONG_PAUSES and seconds >= SHORT
        lasts = chance.uniform(*(LONG_PAUSE if long else SHORT_PAUSE))
        return Action(at, kind, _one_of(chance, killed | PAUSABLE), round(lasts, 1))
    if kind == Kind.CAP:
        return Action(at, kind, chance.choice(sorted(set(QUEUE_OF_TASK.values()))), CAPPED_FOR, chance.randint(1, 3))
    if kind in (Kind.DUPLICATE, Kind.STALE):
        return Action(at, kind, "messages", number=chance.randint(*MESSAGES))
    return Action(at, kind, target)


def _one_of(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
