"""What the clients are told, and what they tell. Nothing but the standard library: see ``driver``."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: ``requests``, whole ones, in this order, by so many ``clients``; ``label`` names it to people."""

    host: str
    port: int
    requests: Sequence[bytes]
    clients: int
    label: str = "requests"


@dataclass(slots=True)
class Answers:
    """What came of a load. ``sent`` and ``took`` are seconds, of each definite answer: since the start, until it.

    ``began`` and ``ended`` are seconds since 1970, ``cpu`` seconds of CPU that the clients took. ``turned_away`` counts
    the answers that said "not now"; the time until the definite one counts all of them.
    """

    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    sent: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    turned_away: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """How many requests were answered with a success."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def per_second(self) -> float:
        """Successes each second, from the first request to the last answer."""
        return self.accepted / max(self.ended - self.began, 1e-9)


def answer_in(received: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, head and body of the answer in these bytes; None where it is not complete. Raises ValueError."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    status, length = _STATUS.match(received), _LENGTH.search(received, 0, end)
    if status is None or (length is None and status[1] != b"204"):
        raise ValueError(f"not an answer of known length: {received[:200]!r}")
    whole = end + 4 + (int(length[1]) if length else 0)
    return None if len(received) < whole else (int(status[1]), received[:end], received[end + 4 : whole])
